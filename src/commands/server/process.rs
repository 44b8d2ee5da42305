//! The process: its clock, its end, its art.

use crate::base::{ClientError, Error, Result, clock};
use crate::commands::context::Context;
use crate::commands::instance::Shutdown;
use crate::commands::outcome::Outcome;
use crate::commands::replication::address_of;
use crate::commands::request::Args;
use crate::replication::State;
use crate::resp::Reply;

pub(super) fn time(_: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let now_us = clock::now_us();
    let seconds = Reply::bulk((now_us / 1_000_000).to_string());
    let microseconds = Reply::bulk((now_us % 1_000_000).to_string());
    Ok(Reply::array([seconds, microseconds]).into())
}

pub(super) fn shutdown(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let mut how = Shutdown::default();
    let mut abort = false;
    let options = args.remaining();
    while let Some(word) = args.next_if_any() {
        match word.to_ascii_uppercase().as_slice() {
            b"NOSAVE" if how.save != Some(true) => how.save = Some(false),
            b"SAVE" if how.save != Some(false) => how.save = Some(true),
            b"NOW" => how.now = true,
            b"FORCE" => how.force = true,
            b"ABORT" => abort = true,
            _ => return Err(ClientError::Syntax.into()),
        }
    }
    if abort {
        if options > 1 {
            return Err(ClientError::Syntax.into());
        }
        return if context.instance.control.abort_shutdown() {
            Ok(Outcome::ok())
        } else {
            Err(Error::client("ERR No shutdown in progress."))
        };
    }
    context.instance.control.shutdown(how);
    Ok(Outcome::Close(Reply::Silent))
}

/// A bolt through a row of rock, as wide as asked for.
pub(super) fn lolwut(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let mut width = 40;
    if args.accept("VERSION") {
        args.integer()?;
    }
    if let Some(word) = args.next_if_any() {
        width = crate::base::number::parse_i64(word).ok_or(ClientError::NotInteger)?.clamp(8, 120);
    }
    let mut art = String::new();
    for row in 0..6 {
        for column in 0..width {
            let on_bolt = row == 3 && column > 2 && column < width - 3;
            let grain = crate::base::random::below(9);
            art.push(if on_bolt {
                '='
            } else if grain == 0 {
                '#'
            } else if grain < 3 {
                '%'
            } else {
                '.'
            });
        }
        art.push('\n');
    }
    art.push_str(&format!("Ferrock ver. {}\n", env!("CARGO_PKG_VERSION")));
    Ok(Reply::verbatim(art).into())
}

/// A master that nobody follows.
pub(super) fn role(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let feed = &context.instance.feed;
    let replicas = feed.replicas().into_iter().filter(|replica| replica.state() == State::Online).map(|replica| {
        let text = |number: u64| Reply::bulk(number.to_string());
        Reply::Array(vec![
            Reply::bulk(address_of(&replica).to_owned()),
            text(replica.port.into()),
            text(replica.acknowledged()),
        ])
    });
    Ok(Reply::Array(vec![Reply::Static("master"), Reply::Integer(feed.offset().cast_signed()), Reply::array(replicas)])
        .into())
}
