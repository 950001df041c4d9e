use std::pin::Pin;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use super::*;

/// `bob` with a costly hash of `pw`, `ann` with a cheap one.
const FILE: &str = "bob:$2y$04$abcdefghijklmnopqrstuuyvPXIbu7xe6/CED2DzX8z6Si09MlzlW\n\
                    ann:{SHA}GpHWL3ymc5liWkNopqtdSjuqYHM=\n";

fn users(file: &str) -> Users {
    let (users, faults) = Users::read(file.as_bytes());
    assert_eq!(faults, []);
    users
}

fn client(number: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, number])
}

fn request(credentials: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for credentials in credentials {
        let value = format!("Basic {}", STANDARD.encode(credentials));
        headers.append(AUTHORIZATION, HeaderValue::from_str(&value).unwrap());
    }
    headers
}

#[tokio::test]
async fn only_the_right_password_of_a_known_user_comes_in() {
    let (passwords, users) = (Passwords::default(), users(FILE));
    // Twice: by the check and by what is remembered of it.
    for _ in 0..2 {
        for (credentials, verdict) in [
            (&["bob:pw"][..], Verdict::Right),
            (&["ann:pw"], Verdict::Right),
            (&["bob:pv"], Verdict::Wrong),
            (&["ann:pv"], Verdict::Wrong),
            (&["bob:"], Verdict::Wrong),
            (&["eve:pw"], Verdict::Wrong),
            (&["bob:pw\0"], Verdict::Wrong),
            (&["bob:pw", "bob:pw"], Verdict::Wrong),
            (&[], Verdict::Wrong),
        ] {
            let got = passwords.check(&users, &request(credentials), client(1)).await;
            assert_eq!(got, verdict, "{credentials:?}");
        }
    }
    let got = passwords.check(&Users::default(), &request(&["bob:pw"]), client(1)).await;
    assert_eq!(got, Verdict::Wrong);
}

#[tokio::test]
async fn a_changed_hash_is_asked_at_once() {
    let passwords = Passwords::default();
    let before = users(FILE);
    assert_eq!(passwords.check(&before, &request(&["bob:pw"]), client(1)).await, Verdict::Right);
    let after = users("bob:$2y$04$abcdefghijklmnopqrstuu0HtfOlPbTiymk5tcV.3TsFPDd3SYZqu\n");
    assert_eq!(passwords.check(&after, &request(&["bob:pw"]), client(1)).await, Verdict::Wrong);
    assert_eq!(passwords.check(&before, &request(&["bob:pw"]), client(1)).await, Verdict::Right);
}

/// A hash that takes long enough for the line to fill before it moves.
const SLOW: &str = "bob:$6$rounds=1000000$abc$zAYvvEJcrKSqV2KUPTUM1K9eaGv20n9mUjWSDZW0QnwBRk0LSo\
                    TIT3PW7mCEa30acQuLwC1rnfhmbdGOSp.jX.\n";

/// Of checks that are begun one after the other, how many are answered with "busy" at once.
fn busy<'a>(checks: &mut [Pin<Box<dyn Future<Output = Verdict> + 'a>>]) -> usize {
    let mut busy = 0;
    for check in checks {
        if let Some(verdict) = futures_util::FutureExt::now_or_never(check) {
            assert_eq!(verdict, Verdict::Busy);
            busy += 1;
        }
    }
    busy
}

#[tokio::test]
async fn beyond_the_line_of_waiting_passwords_the_answer_is_busy() {
    let (passwords, users) = (Passwords::default(), users(SLOW));
    let attempts: Vec<_> = (0..100).map(|n| request(&[&format!("bob:{n}")])).collect();
    let mut checks: Vec<_> = attempts
        .iter()
        .zip(1..)
        .map(|(attempt, n)| Box::pin(passwords.check(&users, attempt, client(n))) as Pin<Box<_>>)
        .collect();
    assert!((30..=36).contains(&busy(&mut checks)));
}

#[tokio::test]
async fn a_client_that_guesses_takes_its_share_of_the_line_only() {
    let (passwords, users) = (Passwords::default(), users(SLOW));
    let attempts: Vec<_> = (0..50).map(|n| request(&[&format!("bob:{n}")])).collect();
    let mut checks: Vec<_> = attempts
        .iter()
        .map(|attempt| Box::pin(passwords.check(&users, attempt, client(1))) as Pin<Box<_>>)
        .collect();
    assert_eq!(busy(&mut checks), 50 - 16);
    let other = request(&["bob:other"]);
    let mut other = [Box::pin(passwords.check(&users, &other, client(2))) as Pin<Box<_>>];
    assert_eq!(busy(&mut other), 0);
}

#[tokio::test]
async fn the_same_password_of_many_requests_is_checked_once() {
    let (passwords, users) = (Passwords::default(), users(FILE));
    let attempt = request(&["bob:pw"]);
    let checks = (0..200).map(|_| passwords.check(&users, &attempt, client(1)));
    let verdicts = futures_util::future::join_all(checks).await;
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Right));
}
