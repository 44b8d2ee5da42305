//! A report for people.

use std::io::{self, Write};

use indicatif::HumanBytes;

use super::report::{Biggest, Database, FamilyFiles, Group, Report};

/// Names longer than this are cut.
const NAME_LETTERS: usize = 60;

/// Writes all of it.
pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{} keys, {}", report.keys, HumanBytes(report.bytes))?;
    report.databases.iter().try_for_each(|database| write_database(database, out))?;
    write_biggest(&report.biggest, out)?;
    write_families(&report.families, out)
}

fn write_database(database: &Database, out: &mut impl Write) -> io::Result<()> {
    let all = &database.all;
    writeln!(out, "\ndatabase {}: {} keys, {}", database.database, all.keys, HumanBytes(all.bytes))?;
    for (kind, figures) in &all.types {
        row(out, figures.keys, figures.bytes, kind)?;
    }
    let deadlines = &all.deadlines;
    if deadlines.keys > 0 {
        writeln!(
            out,
            "  {} with a deadline: {} within an hour, {} within a day, {} within a week, {} within 30 days, {} later",
            deadlines.keys,
            deadlines.within_hour,
            deadlines.within_day,
            deadlines.within_week,
            deadlines.within_30_days,
            deadlines.later
        )?;
    }
    writeln!(out, "  by prefix:")?;
    for prefix in &database.prefixes {
        let name = if prefix.prefix.is_empty() { "(none)" } else { &prefix.prefix };
        row(out, prefix.all.keys, prefix.all.bytes, &format!("{}{}", cut(name), remarks(&prefix.all)))?;
    }
    let others = &database.other_prefixes;
    if others.count > 0 {
        row(out, others.all.keys, others.all.bytes, &format!("({} others){}", others.count, remarks(&others.all)))?;
    }
    Ok(())
}

/// Types and deadlines in a few words.
fn remarks(group: &Group) -> String {
    let types: Vec<&str> = group.types.keys().copied().collect();
    match group.deadlines.keys {
        0 => format!("  {}", types.join(", ")),
        keys => format!("  {}; {keys} with a deadline", types.join(", ")),
    }
}

fn write_biggest(biggest: &[Biggest], out: &mut impl Write) -> io::Result<()> {
    if biggest.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nbiggest keys:")?;
    for key in biggest {
        let bytes = HumanBytes(key.bytes).to_string();
        writeln!(out, "  {bytes:>11}  {:<6}  database {}  {}", key.kind, key.database, cut(&key.key))?;
    }
    Ok(())
}

fn write_families(families: &[FamilyFiles], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\nsorted files:")?;
    for family in families {
        let levels = family
            .levels
            .iter()
            .map(|level| format!("level {}: {} files, {}", level.level, level.files, HumanBytes(level.bytes)));
        let levels = levels.collect::<Vec<_>>().join("; ");
        writeln!(out, "  {:<8} {:>11}  {levels}", family.family, HumanBytes(family.bytes).to_string())?;
    }
    Ok(())
}

fn row(out: &mut impl Write, keys: u64, bytes: u64, what: &str) -> io::Result<()> {
    writeln!(out, "  {keys:>12} keys  {:>11}  {what}", HumanBytes(bytes).to_string())
}

/// Control characters would garble the table.
fn cut(name: &str) -> String {
    let letters = name.chars().flat_map(|letter| match letter.is_control() {
        true => letter.escape_default().collect::<Vec<_>>(),
        false => vec![letter],
    });
    let mut shown: String = letters.take(NAME_LETTERS + 1).collect();
    if shown.chars().count() > NAME_LETTERS {
        shown.pop();
        shown.push('…');
    }
    shown
}
