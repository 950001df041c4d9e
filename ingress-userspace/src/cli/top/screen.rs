//! The screen of `genkan top`: state, keys, drawing. No clock and no terminal of its own.
//!
//! Rates come from the difference of two answers and the process's own uptime, so that a late answer
//! does not look like a burst.

use std::collections::{BTreeMap, VecDeque};

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Row, Sparkline, Table};

use crate::admin::status::Status;
use crate::cli::table::{age, bytes};
use ingress_common::Verdict;
use ingress_common::verdict::Action;

/// Points of a sparkline.
const HISTORY: usize = 120;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Routes,
    Endpoints,
    Vips,
    Workers,
    Problems,
}

#[derive(Debug)]
pub(super) struct Screen {
    status: Status,
    /// Why the last question was not answered.
    fault: Option<String>,
    /// Requests and dropped packets per second.
    requests: VecDeque<u64>,
    drops: VecDeque<u64>,
    /// Requests per second of each route.
    rates: BTreeMap<String, f64>,
    list: List,
    by_rate: bool,
    filter: String,
    typing: bool,
    offset: usize,
}

/// A list as it is shown.
struct Shown {
    heading: Vec<&'static str>,
    widths: Vec<Constraint>,
    rows: Vec<Vec<String>>,
}

// === impl List ===

impl List {
    const ALL: [Self; 5] =
        [Self::Routes, Self::Endpoints, Self::Vips, Self::Workers, Self::Problems];

    fn name(self) -> &'static str {
        match self {
            Self::Routes => "routes",
            Self::Endpoints => "endpoints",
            Self::Vips => "VIPs",
            Self::Workers => "workers",
            Self::Problems => "problems",
        }
    }

    fn next(self) -> Self {
        let at = Self::ALL.iter().position(|list| *list == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }
}

// === impl Screen ===

impl Screen {
    pub(super) fn new(status: Status) -> Self {
        Self {
            status,
            fault: None,
            requests: VecDeque::new(),
            drops: VecDeque::new(),
            rates: BTreeMap::new(),
            list: List::Routes,
            by_rate: true,
            filter: String::new(),
            typing: false,
            offset: 0,
        }
    }

    pub(super) fn update(&mut self, answer: Result<Status, String>) {
        let next = match answer {
            Ok(next) => next,
            Err(fault) => {
                self.fault = Some(fault);
                return;
            }
        };
        self.fault = None;
        let before = std::mem::replace(&mut self.status, next);
        let seconds = self.status.process.uptime - before.process.uptime;
        // Another process starts to count from zero.
        if seconds <= 0.0 || before.process.pid != self.status.process.pid {
            self.rates.clear();
            return;
        }
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let requests = rate(self.status.traffic.requests, before.traffic.requests);
        push(&mut self.requests, requests);
        push(&mut self.drops, rate(dropped(&self.status), dropped(&before)));
        let counts: BTreeMap<&str, u64> =
            before.routes.iter().flat_map(|r| &r.items).map(|r| (&*r.id, r.requests)).collect();
        let routes = self.status.routes.iter().flat_map(|routes| &routes.items);
        self.rates = routes
            .map(|route| {
                let before = counts.get(&*route.id).copied().unwrap_or(route.requests);
                (route.id.clone(), rate(route.requests, before))
            })
            .collect();
    }

    /// True: the user is done.
    pub(super) fn key(&mut self, key: KeyEvent) -> bool {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return true;
        }
        if self.typing {
            match key.code {
                KeyCode::Enter => self.typing = false,
                KeyCode::Esc => {
                    self.typing = false;
                    self.filter.clear();
                }
                KeyCode::Backspace => {
                    self.filter.pop();
                }
                KeyCode::Char(character) => self.filter.push(character),
                _ => {}
            }
            self.offset = 0;
            return false;
        }
        match key.code {
            KeyCode::Char('q') => return true,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('s') => self.by_rate = !self.by_rate,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Down | KeyCode::Char('j') => self.offset += 1,
            KeyCode::Up | KeyCode::Char('k') => self.offset = self.offset.saturating_sub(1),
            KeyCode::Tab => self.choose(self.list.next()),
            KeyCode::Char(digit @ '1'..='5') => {
                self.choose(List::ALL[digit as usize - '1' as usize]);
            }
            _ => {}
        }
        false
    }

    fn choose(&mut self, list: List) {
        self.list = list;
        self.offset = 0;
    }

    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let areas = [2, 2, 2, 1].map(Constraint::Length);
        let areas =
            Layout::vertical(areas.into_iter().chain([Constraint::Min(3), Constraint::Length(1)]))
                .split(frame.area());
        let [head, requests, drops, tabs, body, foot] = std::array::from_fn(|at| areas[at]);
        frame.render_widget(Paragraph::new(self.head()), head);
        plot(frame, requests, "requests/s", &self.requests);
        plot(frame, drops, "dropped packets/s", &self.drops);
        let tabs_text: Vec<_> = (1..)
            .zip(List::ALL)
            .map(|(number, list)| {
                let mark = if list == self.list { "*" } else { " " };
                format!("{mark}{number} {}", list.name())
            })
            .collect();
        frame.render_widget(Paragraph::new(tabs_text.join("  ")).bold(), tabs);
        self.body(frame, body);
        let filter = if self.typing { format!("/{}_", self.filter) } else { self.filter.clone() };
        let keys = format!("q quit  Tab list  s order  / filter  {filter}");
        frame.render_widget(Paragraph::new(keys), foot);
    }

    fn head(&self) -> Vec<Line<'static>> {
        let Status { process, readiness, configuration, traffic, .. } = &self.status;
        let state = match (&self.fault, readiness.ready) {
            (Some(fault), _) => format!("NO ANSWER: {fault}"),
            (None, true) => "ready".to_owned(),
            (None, false) => "NOT READY".to_owned(),
        };
        vec![
            Line::from(format!(
                "genkan {} process {} up {}  {state}",
                process.version,
                process.pid,
                age(process.uptime)
            )),
            Line::from(format!(
                "{} connections  {} requests  {} memory  {} hosts  {} problems",
                traffic.connections,
                traffic.requests,
                bytes(process.resident_bytes),
                configuration.hosts,
                configuration.problems
            )),
        ]
    }

    fn body(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let Shown { heading, widths, mut rows } = self.shown();
        let wanted = self.filter.to_lowercase();
        rows.retain(|row| row.iter().any(|cell| cell.to_lowercase().contains(&wanted)));
        self.offset = self.offset.min(rows.len().saturating_sub(1));
        let rows = rows.into_iter().skip(self.offset).map(Row::new);
        let table = Table::new(rows, widths).header(Row::new(heading).style(Style::new().bold()));
        frame.render_widget(table, area);
    }

    fn shown(&self) -> Shown {
        let (fill, short) = (Constraint::Fill, Constraint::Length);
        match self.list {
            List::Routes => Shown {
                heading: vec!["HOST", "PATH", "TO", "REQ/S", "REQUESTS"],
                widths: vec![fill(3), fill(2), fill(3), short(8), short(10)],
                rows: self.routes(),
            },
            List::Endpoints => Shown {
                heading: vec!["CLUSTER", "ENDPOINT", "POD", "STATE"],
                widths: vec![fill(3), fill(3), fill(2), fill(2)],
                rows: self.endpoints(),
            },
            List::Vips => Shown {
                heading: vec!["VIP", "VERDICT", "PACKETS"],
                widths: vec![fill(2), fill(3), short(14)],
                rows: self.verdicts(),
            },
            List::Workers => Shown {
                heading: vec!["WORKER", "CPU", "CONNECTIONS", "ACCEPTED", "REQUESTS"],
                widths: vec![short(7), short(5), short(12), fill(1), fill(1)],
                rows: self.workers(),
            },
            List::Problems => Shown {
                heading: vec!["REASON", "OBJECT", "MESSAGE"],
                widths: vec![fill(2), fill(2), fill(5)],
                rows: self.problems(),
            },
        }
    }

    fn routes(&self) -> Vec<Vec<String>> {
        let rate = |id: &str| self.rates.get(id).copied().unwrap_or(0.0);
        let mut routes: Vec<_> =
            self.status.routes.iter().flat_map(|routes| &routes.items).collect();
        if self.by_rate {
            routes.sort_by(|a, b| {
                rate(&b.id).total_cmp(&rate(&a.id)).then(b.requests.cmp(&a.requests))
            });
        }
        let row = |route: &&crate::admin::status::Route| {
            vec![
                route.host.clone().unwrap_or_else(|| "any".to_owned()),
                route.path.clone(),
                route.leads_to(),
                format!("{:.1}", rate(&route.id)),
                route.requests.to_string(),
            ]
        };
        routes.iter().map(row).collect()
    }

    fn endpoints(&self) -> Vec<Vec<String>> {
        let clusters = self.status.clusters.iter().flat_map(|clusters| &clusters.items);
        clusters
            .flat_map(|cluster| {
                let row = |address: String, pod: String, state: String| {
                    vec![cluster.name.clone(), address, pod, state]
                };
                let mut rows: Vec<_> = cluster
                    .endpoints
                    .iter()
                    .map(|e| {
                        let pod = e.pod.clone().unwrap_or_default();
                        row(e.address.to_string(), pod, e.state.to_string())
                    })
                    .collect();
                if rows.is_empty() {
                    rows.push(row(String::new(), String::new(), cluster.state.to_string()));
                }
                rows
            })
            .collect()
    }

    fn verdicts(&self) -> Vec<Vec<String>> {
        let mut rows: Vec<(u64, Vec<String>)> = Vec::new();
        for vip in &self.status.vips {
            for (verdict, count) in vip.verdicts.iter().filter(|(_, count)| **count > 0) {
                rows.push((*count, vec![vip.name.clone(), verdict.to_string(), count.to_string()]));
            }
        }
        if self.by_rate {
            rows.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        }
        rows.into_iter().map(|(_, row)| row).collect()
    }

    fn workers(&self) -> Vec<Vec<String>> {
        let workers = self.status.workers.iter();
        workers
            .map(|w| {
                let numbers =
                    [w.index as u64, u64::from(w.cpu), w.connections, w.accepted, w.requests];
                numbers.iter().map(ToString::to_string).collect()
            })
            .collect()
    }

    fn problems(&self) -> Vec<Vec<String>> {
        let problems = self.status.problems.iter().flat_map(|problems| &problems.items);
        problems
            .map(|problem| {
                let object = problem.object.as_ref();
                vec![
                    problem.reason.to_string(),
                    object.map(|o| format!("{}/{}", o.namespace, o.name)).unwrap_or_default(),
                    problem.message.clone(),
                ]
            })
            .collect()
    }
}

fn plot(frame: &mut Frame<'_>, area: Rect, name: &str, values: &VecDeque<u64>) {
    let [text, line] = Layout::vertical([1, 1].map(Constraint::Length)).areas(area);
    let now = values.back().copied().unwrap_or(0);
    frame.render_widget(Paragraph::new(format!("{name} {now}")), text);
    let room = usize::from(line.width);
    let shown = values.iter().skip(values.len().saturating_sub(room)).copied();
    frame.render_widget(Sparkline::default().data(shown.collect::<Vec<_>>()), line);
}

fn push(values: &mut VecDeque<u64>, value: f64) {
    values.push_back(value.round() as u64);
    while values.len() > HISTORY {
        values.pop_front();
    }
}

/// Packets of all VIPs that ended in a verdict that drops.
fn dropped(status: &Status) -> u64 {
    let drops = |name: &str| {
        Verdict::ALL
            .iter()
            .any(|verdict| verdict.name() == name && verdict.action() == Action::Drop)
    };
    let counts = status.vips.iter().flat_map(|vip| &vip.verdicts);
    counts.filter(|(name, _)| drops(name)).map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests;
