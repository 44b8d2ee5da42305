//! Finds the keys in the arguments of a call, from the key specs of its command.
//!
//! The dispatcher asks on every command (locks, ACL, cluster slot), COMMAND GETKEYS on
//! request. So the common shapes (one key, every nth to the end) are told apart when
//! the table is gathered and cost no search. Never reads the store.

use smallvec::SmallVec;

use super::command::{Command, FindKeys, Flags, Keys};
use super::grammar::{Access, Begin, Find, KeySpec};

/// The arguments do not fit the command, so its keys cannot be told; running it gives
/// the fitting error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidArguments;

/// How the keys of a command are found.
#[derive(Debug, Clone)]
pub enum KeyPattern {
    /// It has none.
    None,
    /// One key in a fixed place.
    One { position: usize, access: Access },
    /// Every `step`th argument from `first` to `last`, which counts from the end when negative.
    Run { first: usize, last: isize, step: usize, access: Access },
    /// Several runs, or such as a word or a number announces.
    Specs {
        /// In the order of the grammar.
        specs: Box<[KeySpec]>,
        /// Whether a count of zero is an error.
        mandatory: bool,
    },
    /// The command's own function knows.
    Own(FindKeys),
}

impl KeyPattern {
    /// The pattern of a command with these specs.
    pub fn of(command: &Command, specs: &[KeySpec]) -> Self {
        if let Keys::Given(_, find) = command.keys {
            return Self::Own(find);
        }
        match *specs {
            [] => Self::None,
            [KeySpec { begin: Begin::Index(first), find: Find::Range { last, step, limit: 0 }, access, .. }] => {
                if last == 0 { Self::One { position: first, access } } else { Self::Run { first, last, step, access } }
            }
            _ => Self::Specs { specs: specs.into(), mandatory: !command.flags.contains(Flags::NO_MANDATORY_KEYS) },
        }
    }

    /// Calls `each` with the position of every key in `args` (0 is the command's name) and
    /// what is done to it. Positions lie within `args`. On an error some calls may have
    /// been made already.
    pub fn for_each<A: AsRef<[u8]>>(
        &self,
        args: &[A],
        mut each: impl FnMut(usize, Access),
    ) -> Result<(), InvalidArguments> {
        match self {
            Self::None => Ok(()),
            Self::One { position, access } => {
                if *position >= args.len() {
                    return Err(InvalidArguments);
                }
                each(*position, *access);
                Ok(())
            }
            Self::Run { first, last, step, access } => {
                visit_range(args.len(), *first, *last, *step, 0, |position| each(position, *access))
            }
            Self::Specs { specs, mandatory } => {
                specs.iter().try_for_each(|spec| visit_spec(spec, *mandatory, args, &mut each))
            }
            Self::Own(find) => {
                let found = find(&borrowed(args)).ok_or(InvalidArguments)?;
                found
                    .into_iter()
                    .filter(|(position, _)| *position < args.len())
                    .for_each(|(position, access)| each(position, access));
                Ok(())
            }
        }
    }
}

/// What a call does with its key, where the other arguments decide it ([`Keys::Varying`]).
pub fn resolved_access<A: AsRef<[u8]>>(command: &Command, args: &[A], access: Access) -> Access {
    match command.keys {
        Keys::Varying(decide) if access == Access::Varies => decide(&borrowed(args)),
        _ => access,
    }
}

fn borrowed<A: AsRef<[u8]>>(args: &[A]) -> SmallVec<[&[u8]; 16]> {
    args.iter().map(AsRef::as_ref).collect()
}

fn visit_spec<A: AsRef<[u8]>>(
    spec: &KeySpec,
    mandatory: bool,
    args: &[A],
    each: &mut impl FnMut(usize, Access),
) -> Result<(), InvalidArguments> {
    let begin = match spec.begin {
        Begin::Index(position) => position,
        Begin::Keyword(word, from) => match behind_word(args, word, from) {
            Some(position) => position,
            None => return Ok(()),
        },
        Begin::Unknown => return Ok(()),
    };
    // A last run that may be empty: `PFMERGE destination`.
    if begin >= args.len() {
        return Ok(());
    }
    let mut visit = |position| each(position, spec.access);
    match spec.find {
        Find::Range { last: 0, .. } => {
            visit(begin);
            Ok(())
        }
        Find::Range { last, step, limit } => visit_range(args.len(), begin, last, step, limit, visit),
        Find::Counted { number, first, step } => {
            let count = args.get(begin + number).and_then(|count| parse_count(count.as_ref()));
            let count = count.filter(|count| *count > 0 || !mandatory).ok_or(InvalidArguments)?;
            visit_counted(args.len(), begin + first, count, step, visit)
        }
        Find::Unknown => Ok(()),
    }
}

fn visit_range(
    length: usize,
    first: usize,
    last: isize,
    step: usize,
    limit: usize,
    visit: impl FnMut(usize),
) -> Result<(), InvalidArguments> {
    let end = match last {
        0.. => first.saturating_add_signed(last).saturating_add(1),
        _ => length.saturating_add_signed(last.saturating_add(1)),
    };
    if first >= end || end > length {
        return Err(InvalidArguments);
    }
    let end = if limit > 1 { first + (end - first) / limit } else { end };
    (first..end).step_by(step.max(1)).for_each(visit);
    Ok(())
}

fn visit_counted(
    length: usize,
    first: usize,
    count: usize,
    step: usize,
    visit: impl FnMut(usize),
) -> Result<(), InvalidArguments> {
    let end = count.checked_mul(step).and_then(|words| words.checked_add(first)).ok_or(InvalidArguments)?;
    if end > length {
        return Err(InvalidArguments);
    }
    (first..end).step_by(step.max(1)).for_each(visit);
    Ok(())
}

/// The position behind a word; a negative `from` searches backwards from that far before the end.
fn behind_word<A: AsRef<[u8]>>(args: &[A], word: &str, from: isize) -> Option<usize> {
    let is_word = |arg: &A| arg.as_ref().eq_ignore_ascii_case(word.as_bytes());
    let found = match from {
        0.. => {
            let from = from.cast_unsigned();
            args.get(from..)?.iter().position(is_word)? + from
        }
        _ => {
            let end = args.len().checked_add_signed(from.saturating_add(1))?;
            args.get(1..end)?.iter().rposition(is_word)? + 1
        }
    };
    Some(found + 1)
}

/// Decimal digits that fit any number of arguments.
fn parse_count(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
