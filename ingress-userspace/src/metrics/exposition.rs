//! The text of a scrape: OpenMetrics 1.0, or the older text format of Prometheus (0.0.4).
//!
//! Families come one after the other, each with its name, type, unit and help, then its samples.
//! The unit is what the name ends with. Both forms are written from the same calls, which is what
//! client libraries do not offer; they differ in the names of counters, in infos and in the end.

use std::fmt::Write as _;

use super::histogram::{BOUNDS, Distribution};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    OpenMetrics,
    Prometheus,
}

#[derive(Debug)]
pub struct Exposition {
    text: String,
    form: Form,
    /// Names that were used, to tell in tests when one comes twice.
    #[cfg(debug_assertions)]
    names: std::collections::BTreeSet<&'static str>,
}

/// The samples of one family.
#[derive(Debug)]
pub struct Family<'a> {
    exposition: &'a mut Exposition,
    name: &'static str,
    /// What the name of a sample has behind that of the family.
    suffix: &'static str,
}

/// Name and value.
type Label<'a> = (&'static str, &'a str);

const UNITS: [&str; 3] = ["seconds", "bytes", "ratio"];

// === impl Form ===

impl Form {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

// === impl Exposition ===

impl Exposition {
    pub fn new(form: Form) -> Self {
        Self {
            text: String::with_capacity(64 << 10),
            form,
            #[cfg(debug_assertions)]
            names: std::collections::BTreeSet::new(),
        }
    }

    /// A number that only grows. `name` is without `_total`.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", "_total", help)
    }

    /// A number that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", "", help)
    }

    /// Durations, in the buckets of [`BOUNDS`].
    pub fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "histogram", "", help)
    }

    /// Labels that tell something about the process. `name` is without `_info`.
    pub fn info(&mut self, name: &'static str, help: &str, labels: &[Label<'_>]) {
        self.family(name, "info", "_info", help).number(labels, 1);
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn family(
        &mut self,
        name: &'static str,
        kind: &'static str,
        suffix: &'static str,
        help: &str,
    ) -> Family<'_> {
        #[cfg(debug_assertions)]
        assert!(self.names.insert(name), "the family {name} comes twice");
        // In the older format, a counter has the name of its samples, and an info is a gauge.
        let (shown, kind) = match (self.form, kind) {
            (Form::OpenMetrics, _) => (name.to_owned(), kind),
            (Form::Prometheus, "info") => (format!("{name}{suffix}"), "gauge"),
            (Form::Prometheus, _) => (format!("{name}{suffix}"), kind),
        };
        let unit = UNITS
            .iter()
            .find(|unit| name.strip_suffix(**unit).is_some_and(|before| before.ends_with('_')));
        let text = &mut self.text;
        // Writing to a string does not fail.
        let _ = writeln!(text, "# TYPE {shown} {kind}");
        if let (Some(unit), Form::OpenMetrics) = (unit, self.form) {
            let _ = writeln!(text, "# UNIT {shown} {unit}");
        }
        let _ = write!(text, "# HELP {shown} ");
        escape(text, help);
        text.push('\n');
        Family { exposition: self, name, suffix }
    }
}

// === impl Family ===

impl Family<'_> {
    pub fn number(&mut self, labels: &[Label<'_>], value: u64) -> &mut Self {
        let text = self.head(self.suffix, labels, None);
        let _ = writeln!(text, " {value}");
        self
    }

    pub fn real(&mut self, labels: &[Label<'_>], value: f64) -> &mut Self {
        let text = self.head(self.suffix, labels, None);
        let _ = writeln!(text, " {value}");
        self
    }

    pub fn distribution(&mut self, labels: &[Label<'_>], of: &Distribution) -> &mut Self {
        let mut cumulated = 0;
        let bounds = BOUNDS.map(Some).into_iter().chain([None]);
        for (bound, count) in bounds.zip(of.buckets) {
            cumulated += count;
            let text = self.head("_bucket", labels, Some(bound));
            let _ = writeln!(text, " {cumulated}");
        }
        let text = self.head("_count", labels, None);
        let _ = writeln!(text, " {cumulated}");
        let text = self.head("_sum", labels, None);
        let _ = writeln!(text, " {}", of.seconds());
        self
    }

    /// Name and labels of a sample; `le`: bound of a bucket, `Some(None)` for the last one.
    fn head(&mut self, suffix: &str, labels: &[Label<'_>], le: Option<Option<f64>>) -> &mut String {
        let text = &mut self.exposition.text;
        text.push_str(self.name);
        text.push_str(suffix);
        let mut before = '{';
        for (name, value) in labels {
            text.push(before);
            text.push_str(name);
            text.push_str("=\"");
            escape(text, value);
            text.push('"');
            before = ',';
        }
        if let Some(bound) = le {
            text.push(before);
            // OpenMetrics wants a point in each bound.
            let _ = match bound {
                Some(bound) => write!(text, "le=\"{bound:?}\""),
                None => write!(text, "le=\"+Inf\""),
            };
            before = ',';
        }
        if before == ',' {
            text.push('}');
        }
        text
    }
}

fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Histogram;

    fn written(form: Form) -> String {
        let mut out = Exposition::new(form);
        out.info("genkan_build", "What runs.", &[("version", "1.0")]);
        out.counter("genkan_sent_bytes", "Body bytes.")
            .number(&[("a", "x\"\\\n")], 7)
            .number(&[], 1);
        out.gauge("genkan_age_seconds", "Age.").real(&[], 1.5);
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(30));
        out.histogram("genkan_took_seconds", "Time.").distribution(&[], &histogram.read());
        out.finish()
    }

    #[test]
    fn open_metrics_names_units_and_ends() {
        let text = written(Form::OpenMetrics);
        for line in [
            "# TYPE genkan_build info\n",
            "genkan_build_info{version=\"1.0\"} 1\n",
            "# TYPE genkan_sent_bytes counter\n# UNIT genkan_sent_bytes bytes\n",
            "genkan_sent_bytes_total{a=\"x\\\"\\\\\\n\"} 7\ngenkan_sent_bytes_total 1\n",
            "genkan_age_seconds 1.5\n",
            "genkan_took_seconds_bucket{le=\"0.025\"} 0\n",
            "genkan_took_seconds_bucket{le=\"0.05\"} 1\n",
            "genkan_took_seconds_bucket{le=\"10.0\"} 1\n",
            "genkan_took_seconds_bucket{le=\"+Inf\"} 1\n",
            "genkan_took_seconds_count 1\ngenkan_took_seconds_sum 0.03\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn older_format_names_counters_by_their_samples() {
        let text = written(Form::Prometheus);
        assert!(text.contains("# TYPE genkan_sent_bytes_total counter\n"), "{text}");
        assert!(text.contains("# TYPE genkan_build_info gauge\n"), "{text}");
        assert!(!text.contains("UNIT") && !text.contains("EOF"), "{text}");
    }

    #[test]
    #[should_panic(expected = "comes twice")]
    fn a_family_comes_once() {
        let mut out = Exposition::new(Form::OpenMetrics);
        out.gauge("genkan_x", "X.");
        out.gauge("genkan_x", "X.");
    }
}
