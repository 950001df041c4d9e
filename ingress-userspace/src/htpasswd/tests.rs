use proptest::prelude::*;

use super::*;

const LONG: &str = "a-much-longer-password-than-16-bytes";

/// Made by `openssl passwd` and by glibc's `crypt`.
const KNOWN: &[(&str, &str)] = &[
    ("pw", "$apr1$abcdefgh$5VEbMkemELfbhC5ck.U.z1"),
    (LONG, "$apr1$abcdefgh$TTrFvP6LIHSjwC5CMNbYc/"),
    ("pw", "$1$xy$sCW6WZJsSz7hVuvH0BCaf."),
    (LONG, "$1$xy$D4yhg8M8rUWqicDruEW7w."),
    ("", "$1$abc$Or2rbeUYTvt12aiVzMuS/."),
    ("ü", "$1$abc$mDKyfpN6NMu1BF.OlvxQx1"),
    ("pw", "$5$saltsalt$0rl.MZtoLLPP3X0Rdl8riRnphIcAXJY27/aOAyK2hB5"),
    (LONG, "$5$saltsalt$7TgOlY3i7p8/GuvIFsr5Em9aggM7MCCdKUAsFquz6j0"),
    ("pw", "$5$rounds=1000$abc$zdUXQ3de2d3x/8MYX1t30oZjPfJThZR5heHeVDYi8j6"),
    (
        "pw",
        "$6$0123456789abcdef$zAYvvEJcrKSqV2KUPTUM1K9eaGv20n9mUjWSDZW0QnwBRk0LSoTIT3PW7mCEa30ac\
         QuLwC1rnfhmbdGOSp.jX.",
    ),
    (
        "pw",
        "$6$rounds=1234$abcdefghijklmnop$7jxgKyuL0x5JTuBxzEvFTs3EGQJ9eSXdJQ6zxMzhCWrZfPRuZ8xCJZ8\
         uBRz2ECMhuVurIvADwAFVGZRsXv1MO/",
    ),
    ("pw", "$2y$04$abcdefghijklmnopqrstuuyvPXIbu7xe6/CED2DzX8z6Si09MlzlW"),
    ("pw", "$2b$05$abcdefghijklmnopqrstuuHIrMEWpUCQe2YqFR3sXwQ75u4od..9q"),
    ("pw", "{SHA}GpHWL3ymc5liWkNopqtdSjuqYHM="),
    ("pw", "{SSHA}K/qCHdTzr1rftXNEV4Ob7XsySBlzYWx0"),
    ("pw", "{PLAIN}pw"),
];

#[test]
fn passwords_are_checked_as_crypt_and_nginx_check_them() {
    for (password, hash) in KNOWN {
        let (users, faults) = Users::read(format!("bob:{hash}\n").as_bytes());
        assert_eq!(faults, [], "{hash}");
        let entry = users.find(b"bob").unwrap();
        assert_eq!(&**entry.text(), *hash);
        assert!(entry.admits(password.as_bytes()), "{hash}");
        for wrong in ["", "p", "pw ", "PW", "pw\0", &"x".repeat(100)] {
            assert!(wrong == *password || !entry.admits(wrong.as_bytes()), "{hash} {wrong:?}");
        }
    }
}

#[test]
fn passwords_that_no_scheme_was_made_for_are_wrong() {
    let plain = |password: &str| {
        let (users, _) = Users::read(format!("bob:{{PLAIN}}{password}").as_bytes());
        users.find(b"bob").unwrap().admits(password.as_bytes())
    };
    assert!(plain(&"x".repeat(MAX_PASSWORD)));
    assert!(!plain(&"x".repeat(MAX_PASSWORD + 1)));
    assert!(!plain("a\0b"));
}

#[test]
fn a_file_is_read_line_by_line() {
    let file = b"# remark\n\nann:{PLAIN}a:her remark\r\nbob:{PLAIN}b\nnothing\n:{PLAIN}x\nbob:{PLAIN}c\neve:abzlUXK5ed5rs";
    let (users, faults) = Users::read(file);
    assert!(users.find(b"ann").unwrap().admits(b"a"));
    assert!(users.find(b"bob").unwrap().admits(b"b"));
    assert!(users.find(b"eve").is_none());
    let places: Vec<_> = faults.iter().map(|fault| &*fault.place).collect();
    assert_eq!(places, ["line 5", "line 6", "line 7", "line 8"]);
    assert_eq!(format!("{users:?}"), "Users(2)");
}

#[test]
fn entries_that_cannot_be_checked_or_take_too_long_are_faults() {
    for hash in [
        "",
        "secret",
        "abzlUXK5ed5rs",
        "$2x$04$abcdefghijklmnopqrstuuyvPXIbu7xe6/CED2DzX8z6Si09MlzlW",
        "$2y$15$abcdefghijklmnopqrstuuyvPXIbu7xe6/CED2DzX8z6Si09MlzlW",
        "$2y$31$abcdefghijklmnopqrstuuyvPXIbu7xe6/CED2DzX8z6Si09MlzlW",
        "$2y$04$short",
        "$apr1$abcdefgh",
        "$apr1$abcdefgh$5VEbMkemELfbhC5ck.U.z",
        "$apr1$abcdefgh$5VEbMkemELfbhC5ck.U.z~",
        "$apr1$abcdefgh$5VEbMkemELfbhC5ck.U.zz",
        "$5$saltsalt",
        "$5$rounds=999$abc$zdUXQ3de2d3x/8MYX1t30oZjPfJThZR5heHeVDYi8j6",
        "$5$rounds=999999999$abc$zdUXQ3de2d3x/8MYX1t30oZjPfJThZR5heHeVDYi8j6",
        "$5$rounds=x$abc$zdUXQ3de2d3x/8MYX1t30oZjPfJThZR5heHeVDYi8j6",
        "$6$abc$zdUXQ3de2d3x/8MYX1t30oZjPfJThZR5heHeVDYi8j6",
        "{SHA}",
        "{SHA}!",
        "{SHA}K/qCHdTzr1rftXNEV4Ob7XsySBlzYWx0",
        "{SSHA}GpHWL3ymc5liWkNopqtdSjuqYHM=",
        "{MD5}abc",
    ] {
        let (users, faults) = Users::of([("bob", hash.as_bytes())]);
        assert!(users.is_empty(), "{hash}");
        assert_eq!(faults.len(), 1, "{hash}");
        assert_eq!(faults[0].place, "user \"bob\"");
    }
}

#[test]
fn a_map_names_its_users() {
    let (users, faults) =
        Users::of([("ann", &b"{PLAIN}a\n"[..]), ("b:b", b"{PLAIN}b"), ("bad", b"\xff")]);
    assert!(users.find(b"ann").unwrap().admits(b"a"));
    assert!(users.find(b"b:b").unwrap().admits(b"b"));
    assert_eq!(faults.len(), 1);
    assert!(users.decoy().is_some());
    assert!(Users::default().decoy().is_none());
}

#[test]
fn a_user_whose_first_entry_cannot_be_checked_is_locked_out() {
    let (users, faults) = Users::read(b"alice:!$2y$05$locked\nalice:{PLAIN}a\nbob:{PLAIN}b\n");
    assert!(users.find(b"alice").is_none());
    assert!(users.find(b"bob").unwrap().admits(b"b"));
    let places: Vec<_> = faults.iter().map(|fault| &*fault.place).collect();
    assert_eq!(places, ["line 1", "line 2"]);
}

#[test]
fn unknown_users_are_checked_against_an_entry_that_takes_long() {
    let slow = "$apr1$abcdefgh$5VEbMkemELfbhC5ck.U.z1";
    let file = format!("ann:{{PLAIN}}a\nbob:{slow}\ncarl:{{PLAIN}}c\n");
    let (users, faults) = Users::read(file.as_bytes());
    assert_eq!(faults, []);
    assert!(!users.decoy().unwrap().is_cheap());
}

proptest! {
    #[test]
    fn reading_never_panics_and_what_is_read_can_be_asked(
        file in prop::collection::vec(any::<u8>(), 0..200),
        scheme in prop::sample::select(vec!["", "$1$", "$apr1$", "$5$", "$6$", "$2y$", "{SHA}"]),
        password in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut line = format!("u:{scheme}").into_bytes();
        line.extend_from_slice(&file);
        let (users, _) = Users::read(&line);
        if let Some(entry) = users.decoy() {
            entry.admits(&password);
        }
    }
}
