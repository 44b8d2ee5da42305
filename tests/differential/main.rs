//! Random commands into Ferrock and into a real redis-server, side by side: every
//! reply must be the same, and at intervals the whole state. A failing case is
//! shrunk to the commands that matter and printed with its seed.
//!
//! `FERROCK_DIFFERENTIAL_STEPS` commands in all (default 30,000),
//! `FERROCK_DIFFERENTIAL_SEED` to start from (default 1),
//! `FERROCK_DIFFERENTIAL_FAMILIES=strings,hashes` to choose (default: all Ferrock has),
//! `FERROCK_DIFFERENTIAL_FAILURES` differences to collect before giving up (default 1).
//! `FERROCK_TEST_SERVER=redis-server` proves the test itself: two equal servers do not differ.

mod families;
mod grammar;
mod judge;
mod pair;
mod shrink;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use grammar::{Command, Dice, Family};
use pair::{Difference, Manner, Pair};
use support::quoting::join;
use support::{Protocol, Target, dial};

/// Commands a case has: enough for objects to grow, few enough to shrink fast.
const CASE_STEPS: usize = 150;
const STATE_EVERY: usize = 50;
const PIPELINE: usize = 20;
const TRANSACTION_ONE_IN: usize = 25;

#[test]
fn random_commands_answer_as_redis() {
    let families = chosen_families();
    let mut pair = Pair::start();
    let first_seed = dial("FERROCK_DIFFERENTIAL_SEED", 1);
    let cases = dial("FERROCK_DIFFERENTIAL_STEPS", 30_000).div_ceil(CASE_STEPS as u64);
    let failures_max = dial("FERROCK_DIFFERENTIAL_FAILURES", 1) as usize;
    // Found differences by the command they showed at, so that one defect is told once.
    let mut found = BTreeMap::new();
    for seed in first_seed..first_seed + cases {
        let (commands, manner) = case(&families, seed);
        let Some(difference) = pair.play(&commands, manner) else {
            continue;
        };
        let kind = kind_of(&difference);
        if found.contains_key(&kind) {
            continue;
        }
        let report = explain(&mut pair, seed, commands, manner, &difference);
        println!("{report}");
        found.insert(kind, report);
        if found.len() >= failures_max {
            break;
        }
    }
    let reports: Vec<String> = found.into_values().collect();
    assert!(
        reports.is_empty(),
        "{} differences:\n{}\nserver log:\n{}",
        reports.len(),
        reports.join("\n"),
        pair.tested_log()
    );
    println!("{} steps in {cases} cases, no difference", cases * CASE_STEPS as u64);
}

/// The commands of a case and how they are sent: all from the seed.
fn case(families: &[Family], seed: u64) -> (Vec<Command>, Manner) {
    let letters = families.iter().map(|family| family.key_letter).collect();
    let mut dice = Dice::new(seed, letters);
    let manner = Manner {
        protocol: if dice.rng.bool() { Protocol::Resp2 } else { Protocol::Resp3 },
        pipeline: if dice.rng.bool() { 1 } else { PIPELINE },
        state_every: STATE_EVERY,
        hears_events: dice.rng.bool(),
    };
    // A case stays with a few families, so that their objects grow and collide.
    let mut chosen: Vec<&Family> = Vec::new();
    for _ in 0..3 {
        chosen.push(&families[dice.rng.usize(0..families.len())]);
    }
    let mut commands = Vec::new();
    while commands.len() < CASE_STEPS {
        let family = chosen[dice.rng.usize(0..chosen.len())];
        if dice.one_in(TRANSACTION_ONE_IN) {
            transaction(family, &mut dice, &mut commands);
        } else {
            commands.push(family.draw(&mut dice));
        }
    }
    (commands, manner)
}

/// A few commands between MULTI and EXEC or DISCARD, perhaps watching a key.
fn transaction(family: &Family, dice: &mut Dice, commands: &mut Vec<Command>) {
    let word = |text: &str| text.as_bytes().to_vec();
    if dice.rng.bool() {
        commands.push(vec![word("WATCH"), format!("{}0", family.key_letter).into_bytes()]);
        if dice.rng.bool() {
            commands.push(family.draw(dice));
        }
    }
    commands.push(vec![word("MULTI")]);
    for _ in 0..dice.rng.usize(0..6) {
        let command = family.draw(dice);
        if judge::fits_a_transaction(&command) {
            commands.push(command);
        }
    }
    let end = if dice.one_in(6) { "DISCARD" } else { "EXEC" };
    commands.push(vec![word(end)]);
}

fn chosen_families() -> Vec<Family> {
    let names = std::env::var("FERROCK_DIFFERENTIAL_FAMILIES").unwrap_or_default();
    let names: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let (present, to_come) = (families::present(), families::to_come());
    if names.is_empty() && Target::from_environment() == Target::Ferrock {
        return present;
    }
    let all: Vec<Family> = present.into_iter().chain(to_come).collect();
    for name in &names {
        assert!(all.iter().any(|family| family.name == *name), "no such family: {name}");
    }
    all.into_iter().filter(|family| names.is_empty() || names.contains(&family.name)).collect()
}

/// Two differences of one kind are most likely one defect: the command and
/// whether each side answered an error.
fn kind_of(difference: &Difference) -> String {
    let name = difference.command.trim_start_matches("(asked) ");
    let words: Vec<String> = name.split(' ').take(1).map(str::to_ascii_uppercase).collect();
    let error = |reply: &str| {
        if reply.starts_with('-') { reply.to_owned() } else { "a reply".to_owned() }
    };
    format!("{} {} {}", words.join(" "), error(&difference.reference), error(&difference.tested))
}

/// Shrinks a failing case and writes it down so that it can be played again by hand.
fn explain(pair: &mut Pair, seed: u64, commands: Vec<Command>, manner: Manner, difference: &Difference) -> String {
    let kind = kind_of(difference);
    let upto: Vec<Command> = commands[..commands.len().min(difference.step + 1)].to_vec();
    let mut fails = |shorter: &[Command]| pair.play(shorter, manner).is_some_and(|found| kind_of(&found) == kind);
    // One by one is easier to read; what fails only in a pipeline keeps it.
    let small = if fails(&upto) { shrink::shrink(upto, fails) } else { upto };
    let last = pair.play(&small, manner).unwrap_or_else(|| difference.clone());
    let mut text =
        format!("--- seed {seed}, {:?}, pipeline {}, {} commands\n", manner.protocol, manner.pipeline, small.len());
    for command in &small {
        let line = join(command);
        let line = if line.len() > 300 { format!("{}… ({} bytes)", &line[..300], line.len()) } else { line };
        writeln!(text, "    {line}").expect("writing to a string");
    }
    let cut = |reply: &str| reply.chars().take(600).collect::<String>();
    writeln!(text, "  at        {}", cut(&last.command)).expect("writing to a string");
    writeln!(text, "  reference {}", cut(&last.reference)).expect("writing to a string");
    writeln!(text, "  tested    {}", cut(&last.tested)).expect("writing to a string");
    text
}
