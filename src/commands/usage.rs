//! How a command is written, as text made from its grammar: the usage line, and the HELP of
//! every container. The documents and HELP show the same, since both come from here.

use super::context::Context;
use super::grammar::{Arg, Shape};
use super::outcome::Outcome;
use super::request::Args;
use super::table::{Entry, Facts, TABLE};
use crate::base::Result;
use crate::resp::Reply;

/// How a command is called: `XLEN key`, `CLIENT LIST [TYPE <NORMAL | …>] [ID client-id …]`.
pub fn usage(entry: &Facts) -> String {
    let name = entry.name.replace('|', " ").to_uppercase();
    join([name].into_iter().chain(entry.command.args.iter().map(argument)), " ")
}

fn argument(arg: &Arg) -> String {
    let body = body(arg);
    let once = match (arg.token, arg.shape) {
        (Some(""), Shape::Token) => "\"\"".to_owned(),
        (Some(word), Shape::Token) => word.to_owned(),
        (Some(word), _) => format!("{word} {body}"),
        (None, _) => body.clone(),
    };
    let again = match arg.shape {
        // Written out twice, choices would hide everything else.
        Shape::OneOf(_) => String::new(),
        _ if arg.multiple_token => format!("{once} "),
        _ => format!("{body} "),
    };
    let all = if arg.multiple { format!("{once} [{again}...]") } else { once };
    if arg.optional { format!("[{all}]") } else { all }
}

/// An argument without its fixed word and its repetitions.
fn body(arg: &Arg) -> String {
    match arg.shape {
        // Alone in its brackets, a choice needs no others.
        Shape::OneOf(choices) if arg.optional && arg.token.is_none() && !arg.multiple => {
            join(choices.iter().map(argument), " | ")
        }
        Shape::OneOf(choices) => format!("<{}>", join(choices.iter().map(argument), " | ")),
        Shape::Block(parts) => join(parts.iter().map(argument), " "),
        _ => arg.name.to_owned(),
    }
}

fn join(parts: impl Iterator<Item = String>, separator: &str) -> String {
    parts.collect::<Vec<_>>().join(separator)
}

/// The HELP of any container: how its subcommands are written and what they do. Every
/// container's HELP entry names this handler.
///
/// # Errors
/// None.
pub fn help(context: &mut Context<'_>, _args: &mut Args<'_>) -> Result<Outcome> {
    Ok(Reply::array(help_lines(context.entry).into_iter().map(Reply::simple)).into())
}

/// The lines of HELP, given the container's HELP entry.
pub fn help_lines(help: Entry) -> Vec<String> {
    let Some(container) = help.container.and_then(|container| TABLE.entries().get(container)) else {
        return Vec::new();
    };
    let name = container.command.name;
    let head = format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    let subcommands = TABLE.subcommands(container).flat_map(|entry| {
        let usage = usage(entry);
        let behind_container = usage.split_once(' ').map_or("", |(_, rest)| rest);
        [behind_container.to_owned(), format!("    {}", entry.command.summary)]
    });
    std::iter::once(head).chain(subcommands).collect()
}
