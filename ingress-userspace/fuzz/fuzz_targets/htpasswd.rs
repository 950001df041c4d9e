//! Reading a password file never panics; what was read can be asked; a user of the file comes in
//! with his own password only.
#![no_main]

use genkan::htpasswd::{MAX_PASSWORD, Users};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (users, _) = Users::read(bytes);
    for line in bytes.split(|byte| *byte == b'\n') {
        let mut parts = line.split(|byte| *byte == b':');
        let (Some(name), Some(hash)) = (parts.next(), parts.next()) else { continue };
        // The others take the time that they were made to take.
        let Some(entry) = users.find(name).filter(|entry| entry.is_cheap()) else { continue };
        let first = entry.text().as_bytes() == hash;
        if let Some(plain) = hash.strip_prefix(b"{PLAIN}").filter(|_| first) {
            let possible = plain.len() <= MAX_PASSWORD && !plain.contains(&0);
            assert_eq!(entry.admits(plain), possible);
            assert!(!entry.admits(&[plain, b"x"].concat()));
        }
    }
    let text = String::from_utf8_lossy(bytes);
    let (users, _) = Users::of([("user", text.as_bytes())]);
    if let Some(entry) = users.any().filter(|entry| entry.is_cheap()) {
        entry.admits(bytes);
    }
});
