//! What has been found out about passwords, by a keyed digest of user, hash and password.
//!
//! A fixed number of places, made with the first verdict. The key is random and lives as long as the
//! process, so that neither a digest says anything about a password nor a client can choose where it
//! is put. Right passwords are dropped for other right ones only: whoever guesses cannot make
//! everybody else be checked again.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use aws_lc_rs::rand;

const WAYS: usize = 8;
const SETS: usize = 512;
const DIGEST: usize = 32;

pub(super) type Digest = [u8; DIGEST];

#[derive(Debug)]
pub(super) struct Verdicts {
    key: Key,
    sets: OnceLock<Box<[Mutex<Set>]>>,
}

#[derive(Debug, Default)]
struct Set {
    places: [Place; WAYS],
    /// Counts the looks, for the age of each place.
    looks: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    digest: Digest,
    state: State,
    /// Of the set's looks when it was last asked for.
    seen: u32,
}

/// In the order in which places are given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    #[default]
    Free,
    Wrong,
    Right,
}

// === impl Verdicts ===

impl Verdicts {
    pub(super) fn digest(&self, user: &[u8], hash: &str, password: &[u8]) -> Digest {
        let mut context = Context::with_key(&self.key);
        for part in [user, hash.as_bytes(), password] {
            context.update(&part.len().to_le_bytes());
            context.update(part);
        }
        let mut digest = [0; DIGEST];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<bool> {
        let mut set = self.set(digest);
        set.looks = set.looks.wrapping_add(1);
        let looks = set.looks;
        let is_it = |place: &Place| verify_slices_are_equal(&place.digest, digest).is_ok();
        let place = set.places.iter_mut().find(|place| is_it(place))?;
        place.seen = looks;
        match place.state {
            State::Free => None,
            State::Wrong => Some(false),
            State::Right => Some(true),
        }
    }

    pub(super) fn remember(&self, digest: &Digest, right: bool) {
        let state = if right { State::Right } else { State::Wrong };
        let mut set = self.set(digest);
        let looks = set.looks;
        let known = set.places.iter().position(|place| place.digest == *digest);
        let oldest = || {
            let given_up = set.places.iter().enumerate().filter(|(_, place)| place.state <= state);
            given_up.min_by_key(|(_, p)| (p.state, u32::MAX - looks.wrapping_sub(p.seen)))
        };
        let at = known.or_else(|| oldest().map(|(at, _)| at));
        if let Some(at) = at {
            set.places[at] = Place { digest: *digest, state, seen: looks };
        }
    }

    fn set(&self, digest: &Digest) -> MutexGuard<'_, Set> {
        let sets = self.sets.get_or_init(|| (0..SETS).map(|_| Mutex::default()).collect());
        let [low, high, ..] = *digest;
        let at = usize::from(u16::from_le_bytes([low, high])) % SETS;
        // Nothing under the lock can panic.
        sets[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Verdicts {
    fn default() -> Self {
        let mut key = [0; DIGEST];
        rand::fill(&mut key).expect("the system has random numbers");
        Self { key: Key::new(HMAC_SHA256, &key), sets: OnceLock::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_holds_for_one_hash_and_one_password() {
        let verdicts = Verdicts::default();
        let digest = verdicts.digest(b"u", "hash", b"pw");
        assert_eq!(verdicts.find(&digest), None);
        verdicts.remember(&digest, true);
        assert_eq!(verdicts.find(&digest), Some(true));
        for (user, hash, password) in
            [("u", "hash", "pv"), ("u", "hasi", "pw"), ("u", "has", "hpw"), ("uh", "ash", "pw")]
        {
            let other = verdicts.digest(user.as_bytes(), hash, password.as_bytes());
            assert_eq!(verdicts.find(&other), None, "{user} {hash} {password}");
        }
        verdicts.remember(&digest, false);
        assert_eq!(verdicts.find(&digest), Some(false));
        assert_ne!(Verdicts::default().digest(b"u", "hash", b"pw"), digest, "the key is random");
    }

    #[test]
    fn wrong_passwords_never_push_out_right_ones() {
        let verdicts = Verdicts::default();
        let right: Vec<_> = (0..64u32)
            .map(|n| verdicts.digest(b"u", "hash", &n.to_le_bytes()))
            .inspect(|digest| verdicts.remember(digest, true))
            .collect();
        for n in 0..50_000u32 {
            verdicts.remember(&verdicts.digest(b"u", "wrong", &n.to_le_bytes()), false);
        }
        assert!(right.iter().all(|digest| verdicts.find(digest) == Some(true)));
    }

    #[test]
    fn the_right_one_that_was_not_asked_for_longest_makes_room() {
        let verdicts = Verdicts::default();
        let in_one_set = |n: u8| {
            let mut digest = [0; DIGEST];
            digest[DIGEST - 1] = n + 1;
            digest
        };
        for n in 0..WAYS as u8 {
            verdicts.remember(&in_one_set(n), true);
            assert_eq!(verdicts.find(&in_one_set(n)), Some(true));
        }
        assert_eq!(verdicts.find(&in_one_set(0)), Some(true));
        verdicts.remember(&in_one_set(100), true);
        assert_eq!(verdicts.find(&in_one_set(0)), Some(true));
        assert_eq!(verdicts.find(&in_one_set(1)), None);
    }
}
