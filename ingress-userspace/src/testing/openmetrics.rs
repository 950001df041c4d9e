//! A strict reader of OpenMetrics 1.0 text: what it takes, every scraper takes.
//!
//! In: the text of a scrape. Out: its [`Families`], or the first line that breaks a rule: order and
//! form of the metadata, names of samples for each type, escapes, sorted buckets that add up, no
//! family or sample twice, the end.

use std::collections::{BTreeMap, BTreeSet};

/// Labels of a sample, sorted.
pub type Labels = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub struct Families {
    pub by_name: BTreeMap<String, FamilyText>,
}

#[derive(Debug, Default)]
pub struct FamilyText {
    pub kind: String,
    pub unit: String,
    pub help: String,
    pub samples: Vec<Sample>,
}

#[derive(Debug, Clone)]
pub struct Sample {
    /// With its suffix.
    pub name: String,
    pub labels: Labels,
    pub value: f64,
}

/// Reads a scrape.
///
/// # Errors
///
/// The line that breaks a rule, and which.
pub fn parse(text: &str) -> Result<Families, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("the last line is not `# EOF`")?;
    let mut families = Families::default();
    let mut current = String::new();
    for line in body.split_inclusive('\n') {
        let refuse = |why: &str| format!("{why}: {line:?}");
        let line = line.strip_suffix('\n').ok_or_else(|| refuse("no line feed"))?;
        if line.is_empty() || line.trim() != line {
            return Err(refuse("an empty line, or space around one"));
        }
        let read = match line.strip_prefix("# ") {
            Some(metadata) => families.metadata(metadata, &mut current),
            None => families.sample(line, &current),
        };
        read.map_err(|why| refuse(&why))?;
    }
    for (name, family) in &families.by_name {
        family.check(name)?;
    }
    Ok(families)
}

/// The samples of one histogram.
#[derive(Debug, Default)]
struct Group {
    /// Bounds and cumulated counts.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: Option<f64>,
}

// === impl Families ===

impl Families {
    /// The sum of all samples of this name whose labels have these values.
    pub fn sum(&self, sample: &str, labels: &[(&str, &str)]) -> f64 {
        self.samples(sample)
            .filter(|found| {
                labels.iter().all(|(name, value)| {
                    found.labels.get(*name).is_some_and(|found| found == value)
                })
            })
            .map(|found| found.value)
            .sum()
    }

    /// Samples of this name, suffix included.
    pub fn samples(&self, name: &str) -> impl Iterator<Item = &Sample> {
        self.by_name
            .values()
            .flat_map(|family| &family.samples)
            .filter(move |sample| sample.name == name)
    }

    fn metadata(&mut self, line: &str, current: &mut String) -> Result<(), String> {
        let mut words = line.splitn(3, ' ');
        let (Some(what), Some(name), rest) = (words.next(), words.next(), words.next()) else {
            return Err("metadata without a name".to_owned());
        };
        if !is_name(name) {
            return Err("not the name of a family".to_owned());
        }
        let rest = rest.unwrap_or_default();
        if what == "TYPE" {
            if !["counter", "gauge", "histogram", "info"].contains(&rest) {
                return Err("not a type".to_owned());
            }
            name.clone_into(current);
            let family = FamilyText { kind: rest.to_owned(), ..FamilyText::default() };
            return match self.by_name.insert(name.to_owned(), family) {
                None => Ok(()),
                Some(_) => Err("the family comes twice".to_owned()),
            };
        }
        if name != *current {
            return Err("metadata of another family".to_owned());
        }
        let family = self.by_name.get_mut(name).ok_or("metadata before the type")?;
        if !family.samples.is_empty() {
            return Err("metadata after a sample".to_owned());
        }
        let field = match what {
            "UNIT" if name.ends_with(&format!("_{rest}")) => &mut family.unit,
            "UNIT" => return Err("the name does not end with the unit".to_owned()),
            "HELP" => &mut family.help,
            _ => return Err("neither TYPE nor UNIT nor HELP".to_owned()),
        };
        if !field.is_empty() {
            return Err("twice".to_owned());
        }
        unescape(rest)?.clone_into(field);
        Ok(())
    }

    fn sample(&mut self, line: &str, current: &str) -> Result<(), String> {
        let end = line.find(['{', ' ']).ok_or("a sample without a value")?;
        let (name, rest) = line.split_at(end);
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Labels::new(), rest),
        };
        let value = value.strip_prefix(' ').ok_or("no space before the value")?;
        let number = match value {
            "+Inf" => f64::INFINITY,
            _ if value.bytes().all(|b| b.is_ascii_digit() || b".e-+".contains(&b)) => {
                value.parse().map_err(|_| "the value is no number".to_owned())?
            }
            _ => return Err("the value is no number, or something follows it".to_owned()),
        };
        let family = self.by_name.get_mut(current).ok_or("a sample before any family")?;
        let suffix = name.strip_prefix(current).ok_or("a sample of another family")?;
        let suffixes: &[&str] = match family.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_count", "_sum"],
            _ => &["_info"],
        };
        if !suffixes.contains(&suffix) {
            return Err(format!("a {} has no sample of this name", family.kind));
        }
        if labels.contains_key("le") != (suffix == "_bucket") {
            return Err("le belongs to buckets, and to nothing else".to_owned());
        }
        if family.kind != "gauge" && number < 0.0 {
            return Err("less than nothing".to_owned());
        }
        family.samples.push(Sample { name: name.to_owned(), labels, value: number });
        Ok(())
    }
}

// === impl FamilyText ===

impl FamilyText {
    /// What no single line tells.
    fn check(&self, name: &str) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for sample in &self.samples {
            if !seen.insert((&sample.name, &sample.labels)) {
                return Err(format!("twice: {sample:?}"));
            }
        }
        if self.kind == "histogram" { self.check_buckets(name) } else { Ok(()) }
    }

    fn check_buckets(&self, name: &str) -> Result<(), String> {
        let mut groups: BTreeMap<Labels, Group> = BTreeMap::new();
        for sample in &self.samples {
            let mut labels = sample.labels.clone();
            let bound = labels.remove("le");
            let group = groups.entry(labels).or_default();
            match (bound.as_deref(), sample.name.ends_with("_count")) {
                (Some("+Inf"), _) => group.buckets.push((f64::INFINITY, sample.value)),
                (Some(bound), _) if bound.contains('.') => {
                    let bound = bound.parse().map_err(|_| format!("{name}: bound {bound:?}"))?;
                    group.buckets.push((bound, sample.value));
                }
                (Some(bound), _) => return Err(format!("{name}: bound {bound:?} has no point")),
                (None, true) => group.count = Some(sample.value),
                (None, false) => group.sum = Some(sample.value),
            }
        }
        for (labels, Group { buckets, count, sum }) in groups {
            let grow = |(a, b): (&(f64, f64), &(f64, f64))| a.0 < b.0 && a.1 <= b.1;
            let sorted = buckets.iter().zip(buckets.iter().skip(1)).all(grow);
            let last = buckets.last().copied();
            if !sorted || sum.is_none() || last != count.map(|count| (f64::INFINITY, count)) {
                return Err(format!("{name}{labels:?}: the buckets do not add up: {buckets:?}"));
            }
        }
        Ok(())
    }
}

/// From behind the opening brace; what is left is the value.
fn labels(text: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    let mut rest = text;
    loop {
        let (name, value) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !is_name(name) || name.contains(':') || name.starts_with("__") {
            return Err(format!("{name:?} is not the name of a label"));
        }
        let end = closing_quote(value).ok_or("a value without an end")?;
        let text = unescape(&value[..end])?;
        if labels.insert(name.to_owned(), text).is_some() {
            return Err(format!("the label {name} comes twice"));
        }
        rest = &value[end + 1..];
        match rest.as_bytes().first() {
            Some(b',') => rest = &rest[1..],
            Some(b'}') => return Ok((labels, &rest[1..])),
            _ => return Err("neither comma nor brace after a label".to_owned()),
        }
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return Err("a quote that is not escaped".to_owned()),
            '\\' => match characters.next() {
                Some('n') => out.push('\n'),
                Some(other @ ('\\' | '"')) => out.push(other),
                _ => return Err("an escape that does not exist".to_owned()),
            },
            other => out.push(other),
        }
    }
    Ok(out)
}

fn is_name(text: &str) -> bool {
    let first = |b: u8| b.is_ascii_alphabetic() || b == b'_' || b == b':';
    text.bytes().next().is_some_and(first) && text.bytes().all(|b| first(b) || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_right() {
        let text = "# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n# HELP a_seconds How long.\n\
                    a_seconds_bucket{x=\"1\",le=\"0.5\"} 1\na_seconds_bucket{x=\"1\",le=\"+Inf\"} 3\n\
                    a_seconds_count{x=\"1\"} 3\na_seconds_sum{x=\"1\"} 4.5\n\
                    # TYPE b counter\nb_total{p=\"a\\\"\\\\\\nb,}\"} 7\nb_total 1\n# EOF\n";
        let families = parse(text).unwrap();
        assert_eq!(families.by_name["a_seconds"].unit, "seconds");
        assert_eq!(families.sum("b_total", &[]), 8.0);
        assert_eq!(families.sum("b_total", &[("p", "a\"\\\nb,}")]), 7.0);
    }

    #[test]
    fn refuses_what_breaks_a_rule() {
        for (text, why) in [
            ("a 1\n# EOF\n", "before any family"),
            ("# TYPE a gauge\na 1\n", "EOF"),
            ("# TYPE a gauge\na 1\n# TYPE a gauge\n# EOF\n", "twice"),
            ("# TYPE a gauge\na 1\na 2\n# EOF\n", "twice"),
            ("# TYPE a counter\na 1\n# EOF\n", "no sample of this name"),
            ("# TYPE a counter\na_total -1\n# EOF\n", "less than nothing"),
            ("# TYPE a gauge\nb 1\n# EOF\n", "another family"),
            ("# TYPE a gauge\na{b=\"\\x\"} 1\n# EOF\n", "escape"),
            ("# TYPE a gauge\na{b=\"1\",b=\"2\"} 1\n# EOF\n", "comes twice"),
            ("# TYPE a gauge\na x\n# EOF\n", "no number"),
            ("# TYPE a gauge\n# UNIT a bytes\n# EOF\n", "unit"),
            ("# TYPE a histogram\na_bucket{le=\"1\"} 1\n# EOF\n", "no point"),
            (
                "# TYPE a histogram\na_bucket{le=\"1.0\"} 2\na_bucket{le=\"+Inf\"} 1\na_count 1\n\
                 a_sum 1\n# EOF\n",
                "add up",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}{error}");
        }
    }
}
