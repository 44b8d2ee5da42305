//! The permission gate: whether a user may run a command on these keys and channels, asked
//! for every request, for every command of EXEC, and by scripts for every call.
//!
//! It looks at words only, never at the store, so a refusal tells nothing about a key. For a
//! user whom nothing is refused it costs one flag.

use std::sync::LazyLock;

use bytes::Bytes;

use super::command::{Category, Flags};
use super::connection;
use super::instance::Instance;
use super::session::SessionState;
use super::table::{Entry, TABLE};
use crate::acl::{Call, Catalogue, Denial, Known, Place, Reach, Reason, Refusal, Rules};
use crate::base::clock;

/// What permissions know of the command table.
pub static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let commands = TABLE.entries().iter().map(|entry| Known {
        name: &entry.name,
        container: entry.container,
        subcommands: entry.subcommands.clone(),
        categories: entry.categories.bits(),
        open: entry.command.flags.contains(Flags::NO_AUTH),
    });
    Catalogue::new(commands.collect(), CATEGORIES.iter().map(|(name, bit)| (*name, bit.bits())).collect())
});

/// The names of the categories, in Redis' order.
const CATEGORIES: [(&str, Category); 21] = [
    ("keyspace", Category::KEYSPACE),
    ("read", Category::READ),
    ("write", Category::WRITE),
    ("set", Category::SET),
    ("sortedset", Category::SORTEDSET),
    ("list", Category::LIST),
    ("hash", Category::HASH),
    ("string", Category::STRING),
    ("bitmap", Category::BITMAP),
    ("hyperloglog", Category::HYPERLOGLOG),
    ("geo", Category::GEO),
    ("stream", Category::STREAM),
    ("pubsub", Category::PUBSUB),
    ("admin", Category::ADMIN),
    ("fast", Category::FAST),
    ("slow", Category::SLOW),
    ("blocking", Category::BLOCKING),
    ("dangerous", Category::DANGEROUS),
    ("connection", Category::CONNECTION),
    ("transaction", Category::TRANSACTION),
    ("scripting", Category::SCRIPTING),
];

impl SessionState {
    /// Whether this session's user may make this call. Where the answer is no, who asked tells
    /// the client ([`Denial::reply`] and its like) and the log ([`note_denial`]).
    ///
    /// # Errors
    /// What is denied.
    #[inline]
    pub fn may_run(&self, entry: Entry, args: &[&[u8]]) -> Result<(), Denial> {
        if self.user.is_unrestricted() {
            return Ok(());
        }
        check(&self.user.rules(), entry, args)
    }

    /// Whether this session's user may run this command on keys of any name: for keys that
    /// only the data names, as SORT BY and GET do.
    pub fn may_read_any_key(&self, entry: Entry, args: &[&[u8]]) -> bool {
        self.user.is_unrestricted() || self.user.rules().reads_any_key(&bare_call(entry, args))
    }

    /// Whether this session must log in before it may do anything.
    pub fn must_log_in(&self, instance: &Instance) -> bool {
        !self.authenticated && !instance.acl.default_user().is_open()
    }
}

/// Whether these rules allow a call.
///
/// # Errors
/// What is denied.
#[inline(never)]
pub(super) fn check(rules: &Rules, entry: Entry, args: &[&[u8]]) -> Result<(), Denial> {
    let mut call = bare_call(entry, args);
    if rules.weighs_keys() {
        // Of arguments that make no sense the handler says so, before it reads anything.
        let _ = entry.key_positions(args, |position, access| {
            if access != super::grammar::Access::Channel {
                call.keys.push((position, Reach { reads: access.needs_read(), writes: access.needs_write() }));
            }
        });
    }
    if rules.weighs_channels() {
        call.channels.extend(channels(&entry.name, args.len()));
    }
    rules.check(&call, entry.command.flags.contains(Flags::NO_AUTH))
}

fn bare_call<'a>(entry: Entry, args: &'a [&'a [u8]]) -> Call<'a> {
    Call { command: entry.index, args, keys: Default::default(), channels: Default::default() }
}

/// The positions of the channels that a call publishes or subscribes to, and whether they are
/// patterns. Nobody needs a permission to unsubscribe.
fn channels(name: &str, words: usize) -> impl Iterator<Item = (usize, bool)> {
    let (end, is_pattern) = match name {
        "publish" | "spublish" => (words.min(2), false),
        "subscribe" | "ssubscribe" => (words, false),
        "psubscribe" => (words, true),
        _ => (0, false),
    };
    (1..end).map(move |position| (position, is_pattern))
}

/// Enters a denied call into ACL LOG.
pub(super) fn note_denial(
    instance: &Instance,
    state: &SessionState,
    entry: Entry,
    args: &[&[u8]],
    denial: Denial,
    place: Place,
) {
    let object = match denial {
        Denial::Command => Bytes::from_static(entry.name.as_bytes()),
        Denial::Key(position) | Denial::Channel(position) => {
            Bytes::copy_from_slice(args.get(position).copied().unwrap_or_default())
        }
    };
    note(
        instance,
        state,
        entry,
        Refusal { reason: Reason::from(denial), place, object, user: state.user.name().clone(), client: String::new() },
    );
}

/// Enters a failed log-in as `user` into ACL LOG.
pub(super) fn note_failed_login(instance: &Instance, state: &SessionState, entry: Entry, word: &[u8], user: &[u8]) {
    note(
        instance,
        state,
        entry,
        Refusal {
            reason: Reason::Auth,
            place: if state.multi.is_some() { Place::Multi } else { Place::Toplevel },
            object: Bytes::copy_from_slice(word),
            user: Bytes::copy_from_slice(user),
            client: String::new(),
        },
    );
}

fn note(instance: &Instance, state: &SessionState, entry: Entry, refusal: Refusal) {
    let now_ms = clock::now_ms();
    state.show(entry.index);
    let client = connection::describe(&state.client, now_ms);
    instance.acl.log.enter(Refusal { client, ..refusal }, now_ms, instance.config.load().acllog_max_len);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::table;

    fn verdict(rules: &str, call: &str) -> Result<(), Denial> {
        let acl = crate::acl::Acl::new(&CATALOGUE);
        let modifiers: Vec<&str> = rules.split(' ').collect();
        let user = acl.set(b"u", &modifiers, false).unwrap_or_else(|refused| panic!("{rules}: {refused:?}"));
        let words: Vec<&[u8]> = call.split(' ').map(str::as_bytes).collect();
        check(&user.rules(), table::resolve(&words).unwrap(), &words)
    }

    #[test]
    fn keys_are_found_and_weighed_by_what_is_done_to_them() {
        assert_eq!(verdict("+@all %R~r* %W~w*", "GET r"), Ok(()));
        assert_eq!(verdict("+@all %R~r* %W~w*", "GET w"), Err(Denial::Key(1)));
        assert_eq!(verdict("+@all %R~r* %W~w*", "SET w 1"), Ok(()));
        assert_eq!(verdict("+@all %R~r* %W~w*", "SET w 1 GET"), Err(Denial::Key(1)));
        assert_eq!(verdict("+@all %R~r* %W~w*", "COPY r w"), Ok(()));
        assert_eq!(verdict("+@all %R~r* %W~w*", "COPY w r"), Err(Denial::Key(1)));
        assert_eq!(verdict("+@all %R~r* %W~w*", "MSET w 1 x 2"), Err(Denial::Key(3)));
        assert_eq!(verdict("+@all %R~r* %W~w*", "EXISTS r w"), Ok(()));
        assert_eq!(verdict("+@all %R~r* %W~w*", "EXISTS r w x"), Err(Denial::Key(3)));
        assert_eq!(verdict("+@all ~a", "OBJECT ENCODING b"), Err(Denial::Key(2)));
        assert_eq!(verdict("~*", "GET a"), Err(Denial::Command));
        assert_eq!(verdict("~*", "AUTH a"), Ok(()));
    }

    #[test]
    fn channels_are_found() {
        let found = |name, words| channels(name, words).collect::<Vec<_>>();
        assert_eq!(found("publish", 3), [(1, false)]);
        assert_eq!(found("spublish", 3), [(1, false)]);
        assert_eq!(found("subscribe", 3), [(1, false), (2, false)]);
        assert_eq!(found("psubscribe", 3), [(1, true), (2, true)]);
        assert_eq!(found("unsubscribe", 3), []);
        assert_eq!(found("get", 2), []);
    }

    /// A category that the table has and ACL CAT lacks could not be given to anybody.
    #[test]
    fn every_category_has_its_name() {
        let named: Category = CATEGORIES.iter().map(|(_, category)| *category).collect();
        assert_eq!(named, Category::all());
        for (name, category) in CATEGORIES {
            assert_eq!(Category::from_name(&name.to_uppercase()), Some(category));
        }
    }
}
