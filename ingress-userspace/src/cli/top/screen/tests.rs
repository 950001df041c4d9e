use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::admin::status::{Page, Port, Route, Steer, Vip, VipTraffic};

fn route(id: &str, host: &str, requests: u64) -> Route {
    Route { id: id.to_owned(), host: Some(host.to_owned()), requests, ..Route::default() }
}

/// After this many seconds of the process.
fn status(seconds: f64, requests: [u64; 2], denied: u64) -> Status {
    let mut status = Status::default();
    status.process.uptime = seconds;
    status.traffic.requests = requests.iter().sum();
    let items =
        vec![route("a", "quiet.example", requests[0]), route("b", "busy.example", requests[1])];
    status.routes = Some(Page { total: 2, offset: 0, items });
    status.vips = vec![Vip {
        name: "edge".to_owned(),
        addresses: Vec::new(),
        ports: vec![Port { port: 80, protocol: "http".into() }],
        interfaces: Vec::new(),
        steer: Steer::Native,
        reason: None,
        rules: 0,
        verdicts: [("denied".into(), denied), ("tcp_syn".into(), 1000)].into(),
        traffic: VipTraffic::default(),
    }];
    status
}

fn drawn(screen: &mut Screen) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| screen.draw(frame)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let line = |y| (0..80).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>();
    (0..24).map(|y| line(y).trim_end().to_owned()).collect()
}

fn press(screen: &mut Screen, keys: &str) -> bool {
    let press = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE);
    keys.chars().any(|c| screen.key(press(c)))
}

#[test]
fn rates_are_of_the_time_between_two_answers_and_drops_are_those_verdicts() {
    let mut screen = Screen::new(status(10.0, [5, 100], 7));
    screen.update(Ok(status(12.0, [5, 140], 27)));
    let lines = drawn(&mut screen);
    assert_eq!(lines[2], "requests/s 20");
    assert_eq!(lines[4], "dropped packets/s 10");
    assert!(lines[8].starts_with("busy.example") && lines[8].contains("20.0"), "{lines:#?}");
    assert!(lines[9].starts_with("quiet.example"), "{lines:#?}");
    press(&mut screen, "s");
    assert!(drawn(&mut screen)[8].starts_with("quiet.example"));
}

#[test]
fn a_new_process_starts_from_zero_and_a_silent_one_is_told() {
    let mut screen = Screen::new(status(10.0, [5, 100], 0));
    let mut other = status(12.0, [0, 1], 0);
    other.process.pid = 2;
    screen.update(Ok(other));
    assert!(screen.requests.is_empty() && screen.rates.is_empty());
    screen.update(Err("no answer within 10s".to_owned()));
    assert!(drawn(&mut screen)[0].contains("NO ANSWER: no answer within 10s"));
}

#[test]
fn lists_are_chosen_filtered_and_left_by_keys() {
    let mut screen = Screen::new(status(10.0, [5, 100], 7));
    press(&mut screen, "/BUSY");
    screen.key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE));
    let lines = drawn(&mut screen).join("\n");
    assert!(lines.contains("busy.example") && !lines.contains("quiet.example"), "{lines}");
    screen.key(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE));
    press(&mut screen, "3");
    let lines = drawn(&mut screen).join("\n");
    assert!(lines.contains("*3 VIPs") && lines.contains("denied"), "{lines}");
    for list in ["1", "2", "4", "5"] {
        press(&mut screen, list);
        drawn(&mut screen);
    }
    assert!(!press(&mut screen, "/q"), "q is a letter of the filter");
    assert!(screen.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    screen.key(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE));
    assert!(press(&mut screen, "q"));
}

#[test]
fn the_smallest_terminal_breaks_nothing() {
    let mut screen = Screen::new(status(10.0, [5, 100], 7));
    for (width, height) in [(1, 1), (20, 5), (80, 24)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
    }
}
