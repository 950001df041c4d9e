//! The form of a line, made once for each version of the configuration.

use http::header::{REFERER, USER_AGENT};
use http::{HeaderMap, HeaderValue};

use super::entry::{Place, Values};
use crate::config::access_log::{AccessLogConfig, Part, Variable, parts};

/// What is written for each request, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pieces: Vec<Piece>,
    json: bool,
    wants: Wants,
}

/// What has to be kept of a request's head for the line, because the head itself goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants {
    pub referer: bool,
    pub user_agent: bool,
    /// Not of the head: the cluster has to be looked up.
    pub cluster: bool,
}

/// What was kept.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    pub referer: Option<HeaderValue>,
    pub user_agent: Option<HeaderValue>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    /// In JSON with its key: `,"status":`.
    Value(Variable, Vec<u8>),
}

// === impl Line ===

impl Line {
    /// The configuration has passed its checks: what is no variable is left out.
    pub fn new(config: &AccessLogConfig) -> Self {
        let (pieces, json) = match config.format.template() {
            Some(template) => (template_pieces(template), false),
            None => (json_pieces(&config.fields), true),
        };
        let has = |wanted| {
            pieces
                .iter()
                .any(|piece| matches!(piece, Piece::Value(variable, _) if *variable == wanted))
        };
        let wants = Wants {
            referer: has(Variable::Referer),
            user_agent: has(Variable::UserAgent),
            cluster: [Variable::Service, Variable::Cluster, Variable::Pod].into_iter().any(has),
        };
        Self { pieces, json, wants }
    }

    pub fn wants(&self) -> Wants {
        self.wants
    }

    pub(super) fn write(&self, values: &Values<'_>, out: &mut Vec<u8>) {
        if self.json {
            self.write_json(values, out)
        } else {
            self.write_text(values, out)
        }
        out.push(b'\n');
    }

    /// What has no value is left out.
    fn write_json(&self, values: &Values<'_>, out: &mut Vec<u8>) {
        let begin = out.len();
        for piece in &self.pieces {
            let Piece::Value(variable, key) = piece else { continue };
            let before = out.len();
            out.extend_from_slice(key);
            if !values.write(*variable, Place::Json, out) {
                out.truncate(before);
            }
        }
        // Each key begins with a comma; the first one is where the brace belongs.
        match out.get_mut(begin) {
            Some(comma) => *comma = b'{',
            None => out.push(b'{'),
        }
        out.push(b'}');
    }

    /// What has no value is `-`.
    fn write_text(&self, values: &Values<'_>, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Value(variable, _) => {
                    if !values.write(*variable, Place::Text, out) {
                        out.push(b'-');
                    }
                }
            }
        }
    }
}

// === impl Kept ===

impl Kept {
    #[inline]
    pub fn of(headers: &HeaderMap, wants: Wants) -> Self {
        let keep = |wanted: bool, name| wanted.then(|| headers.get(name).cloned()).flatten();
        Self {
            referer: keep(wants.referer, REFERER),
            user_agent: keep(wants.user_agent, USER_AGENT),
        }
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new(&AccessLogConfig::default())
    }
}

fn json_pieces(fields: &[String]) -> Vec<Piece> {
    let piece = |variable: Variable| {
        Piece::Value(variable, format!(",\"{}\":", variable.name()).into_bytes())
    };
    if fields.is_empty() {
        return Variable::USUAL.iter().copied().map(piece).collect();
    }
    fields.iter().filter_map(|name| Variable::by_name(name)).map(piece).collect()
}

fn template_pieces(template: &str) -> Vec<Piece> {
    let parts = parts(template).unwrap_or_default();
    let piece = |part| match part {
        Part::Text(text) => Piece::Text(text.into_bytes()),
        Part::Value(variable) => Piece::Value(variable, Vec::new()),
    };
    parts.into_iter().map(piece).collect()
}
