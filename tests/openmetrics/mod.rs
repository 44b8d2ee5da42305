//! A reader of OpenMetrics' text format, version 1.0.0, that lets nothing pass which the standard
//! does not allow: order of the lines, names, suffixes by type, units, escapes, buckets, the end.

use std::collections::{BTreeMap, BTreeSet};

/// One line with a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

/// One metric.
#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub help: String,
    pub samples: Vec<Sample>,
    /// Where it stands among the others.
    place: usize,
}

impl Family {
    /// The names of its labels, but for those of buckets.
    pub fn labels(&self) -> BTreeSet<&str> {
        let all = self.samples.iter().flat_map(|sample| sample.labels.iter());
        all.map(|(name, _)| name.as_str()).filter(|name| *name != "le").collect()
    }
}

/// All metrics, by name.
#[derive(Debug, Default)]
pub struct Exposition {
    pub families: BTreeMap<String, Family>,
}

impl Exposition {
    /// The samples of this name.
    pub fn samples(&self, name: &str) -> Vec<&Sample> {
        self.families.values().flat_map(|family| family.samples.iter()).filter(|sample| sample.name == name).collect()
    }

    /// The value of a sample with exactly these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found = self.samples(name).into_iter().find(|sample| {
            sample.labels.len() == labels.len()
                && labels.iter().all(|(name, value)| sample.labels.iter().any(|(n, v)| n == name && v == value))
        });
        found.map(|sample| sample.value)
    }

    /// The metrics in their order.
    pub fn in_order(&self) -> impl Iterator<Item = (&String, &Family)> {
        let mut all: Vec<_> = self.families.iter().collect();
        all.sort_by_key(|(_, family)| family.place);
        all.into_iter()
    }
}

/// The names that samples of a metric may have.
pub fn names(name: &str, kind: &str) -> Vec<String> {
    let suffixes: &[&str] = match kind {
        "counter" => &["_total", "_created"],
        "histogram" => &["_bucket", "_sum", "_count", "_created"],
        "info" => &["_info"],
        _ => &[""],
    };
    suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect()
}

/// Whether a sample of this name, of a metric of this type, must never go back.
pub fn only_grows(kind: &str, sample: &str) -> bool {
    match kind {
        "counter" => sample.ends_with("_total"),
        "histogram" => !sample.ends_with("_created"),
        _ => false,
    }
}

/// Reads all of it.
///
/// # Errors
/// What is wrong, and in which line.
pub fn parse(text: &str) -> Result<Exposition, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("does not end with # EOF and a line break")?;
    let mut all = Exposition::default();
    let mut current: Option<String> = None;
    for (number, line) in body.split_terminator('\n').enumerate() {
        parse_line(line, &mut all, &mut current).map_err(|why| format!("line {}: {why}: {line}", number + 1))?;
    }
    if !body.is_empty() && !body.ends_with('\n') {
        return Err("the last line does not end".into());
    }
    all.families.iter().try_for_each(|(name, family)| check(name, family).map_err(|why| format!("{name}: {why}")))?;
    Ok(all)
}

fn parse_line(line: &str, all: &mut Exposition, current: &mut Option<String>) -> Result<(), String> {
    let Some(about) = line.strip_prefix("# ") else {
        let sample = parse_sample(line)?;
        let name = current.as_ref().ok_or("a sample without a metric")?;
        let family = all.families.get_mut(name).ok_or("unknown metric")?;
        if !names(name, &family.kind).contains(&sample.name) {
            return Err(format!("no sample of the {} {name}", family.kind));
        }
        family.samples.push(sample);
        return Ok(());
    };
    let mut words = about.splitn(3, ' ');
    let (what, name, rest) = (words.next(), words.next(), words.next());
    let (Some(what), Some(name), Some(rest)) = (what, name, rest) else { return Err("three words are wanted".into()) };
    if !is_name(name) {
        return Err("no name of a metric".into());
    }
    if current.as_deref() != Some(name) {
        let place = all.families.len();
        if all.families.insert(name.to_owned(), Family { place, ..Family::default() }).is_some() {
            return Err("a metric comes back".into());
        }
        *current = Some(name.to_owned());
    }
    let family = all.families.get_mut(name).ok_or("unknown metric")?;
    if !family.samples.is_empty() {
        return Err("a word about a metric behind its samples".into());
    }
    match what {
        "HELP" if family.help.is_empty() => family.help = unescaped(rest, false)?,
        "TYPE" if family.kind.is_empty() && ["counter", "gauge", "histogram", "info"].contains(&rest) => {
            family.kind = rest.to_owned();
        }
        "UNIT" if name.ends_with(&format!("_{rest}")) => {}
        _ => return Err("not allowed here".into()),
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn unescaped(text: &str, in_quotes: bool) -> Result<String, String> {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => match letters.next() {
                Some('n') => '\n',
                Some('\\') => '\\',
                Some('"') => '"',
                other => return Err(format!("unknown escape {other:?}")),
            },
            '"' if in_quotes => return Err("a bare quote".into()),
            letter => letter,
        });
    }
    Ok(plain)
}

fn parse_sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name) {
        return Err("no name of a sample".into());
    }
    let mut labels: Vec<(String, String)> = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").ok_or("a label without a value")?;
            let end = closing_quote(after).ok_or("a value without an end")?;
            if !is_name(label) || labels.iter().any(|(known, _)| known == label) {
                return Err(format!("label {label:?}"));
            }
            labels.push((label.to_owned(), unescaped(&after[..end], true)?));
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) if !more.starts_with('}') => rest = more,
                None if rest.starts_with('}') => {}
                _ => return Err("labels are parted by commas".into()),
            }
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').ok_or("one space before the value")?;
    if value.is_empty() || value.contains(' ') {
        return Err("one value, no timestamp, no exemplar".into());
    }
    let value: f64 = value.parse().map_err(|_| "no number")?;
    Ok(Sample { name: name.to_owned(), labels, value })
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, letter)| {
        let ends = letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
        ends.then_some(at)
    })
}

/// What holds of a metric as a whole.
fn check(name: &str, family: &Family) -> Result<(), String> {
    if family.kind.is_empty() || !family.help.ends_with('.') {
        return Err("wants a type and a sentence of help".into());
    }
    if ["_total", "_info", "_bucket", "_count", "_sum", "_created"].iter().any(|suffix| name.ends_with(suffix)) {
        return Err("the name ends like that of a sample".into());
    }
    let mut seen = BTreeSet::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        labels.sort();
        if !seen.insert((sample.name.clone(), labels)) {
            return Err(format!("twice: {sample:?}"));
        }
        if only_grows(&family.kind, &sample.name) && !(sample.value >= 0.0 && sample.value.is_finite()) {
            return Err(format!("counts are not negative: {sample:?}"));
        }
    }
    if family.kind == "histogram" { check_buckets(name, family) } else { Ok(()) }
}

type Labels = Vec<(String, String)>;

/// Buckets by their labels but for the bound: bounds rise, counts do not fall, the last is infinite
/// and the count of all.
fn check_buckets(name: &str, family: &Family) -> Result<(), String> {
    let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for sample in family.samples.iter().filter(|sample| sample.name == format!("{name}_bucket")) {
        let bound = sample.labels.iter().find(|(label, _)| label == "le").ok_or("a bucket without a bound")?;
        let bound = if bound.1 == "+Inf" { f64::INFINITY } else { bound.1.parse().map_err(|_| "a strange bound")? };
        let labels = sample.labels.iter().filter(|(label, _)| label != "le").cloned().collect();
        series.entry(labels).or_default().push((bound, sample.value));
    }
    let of = |suffix: &str, labels: &[(String, String)]| {
        let all =
            family.samples.iter().find(|sample| sample.name == format!("{name}{suffix}") && sample.labels == labels);
        all.map(|sample| sample.value).ok_or(format!("no {suffix} of {labels:?}"))
    };
    for (labels, buckets) in &series {
        if !buckets.is_sorted_by(|(one, low), (two, high)| one < two && low <= high) {
            return Err(format!("buckets out of order: {labels:?}"));
        }
        let last = buckets.last().filter(|(bound, _)| *bound == f64::INFINITY).ok_or("no infinite bucket")?;
        of("_sum", labels)?;
        if of("_count", labels)? != last.1 {
            return Err(format!("the count is not that of the infinite bucket: {labels:?}"));
        }
    }
    Ok(())
}

#[test]
fn what_the_standard_forbids_is_seen() {
    let good = "# HELP a_x A.\n# TYPE a_x counter\na_x_total{b=\"c\\\"\\\\\"} 1\n# EOF\n";
    assert_eq!(parse(good).map(|all| all.families.len()), Ok(1));
    for (from, to) in [
        ("# EOF\n", ""),
        ("# EOF\n", "# EOF"),
        ("a_x_total{", "a_x{"),
        ("a_x_total{", "a_y_total{"),
        ("} 1", "}  1"),
        ("} 1", "} -1"),
        ("} 1", "} x"),
        ("\\\"", "\""),
        ("b=", "9="),
        ("counter", "wonder"),
        ("# EOF", "# TYPE a_x counter\n# EOF"),
        ("# EOF", "a_x_total{b=\"c\\\"\\\\\"} 2\n# EOF"),
        ("A.", "A"),
    ] {
        assert!(parse(&good.replacen(from, to, 1)).is_err(), "{from:?} became {to:?}");
    }
    let buckets =
        "# HELP h A.\n# TYPE h histogram\nh_sum 1\nh_count 2\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\n# EOF\n";
    assert!(parse(buckets).is_ok());
    for (from, to) in [("h_count 2", "h_count 1"), ("+Inf", "2"), ("\"1\"} 1", "\"1\"} 3"), ("h_sum 1\n", "")] {
        assert!(parse(&buckets.replacen(from, to, 1)).is_err(), "{from:?} became {to:?}");
    }
}
