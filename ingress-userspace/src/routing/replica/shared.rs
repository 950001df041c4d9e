//! The values that many routes share, on the side that tells them: numbered when the first route
//! that is told needs one, released with the last.

use std::sync::Arc;

use hashbrown::HashMap;
use rustls::pki_types::PrivateKeyDer;

use super::message::{Chain, Key, Message, Shared};
use crate::htpasswd::Users;
use crate::model::ServerCertificate;
use crate::routing::access::Auth;
use crate::routing::filters::Filters;

/// By address: two values that are equal and not the same are told twice.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    held: HashMap<usize, Held>,
    last: u64,
}

#[derive(Debug)]
struct Held {
    number: u64,
    uses: u64,
    /// Keeps the address from being another value's.
    _value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Filters(Arc<Filters>),
    Users(Arc<Users>),
    Certificate(Arc<ServerCertificate>),
}

// === impl Ledger ===

impl Ledger {
    /// One more use of a value; its number. The first use tells it.
    pub(super) fn acquire(&mut self, value: &Value, send: &mut dyn FnMut(Message)) -> u64 {
        let address = value.address();
        if let Some(held) = self.held.get_mut(&address) {
            held.uses += 1;
            return held.number;
        }
        let told = match value {
            Value::Filters(filters) => {
                let users = users_of(filters).map(|users| self.acquire(&users, send));
                Shared::Filters { filters: filters.clone(), users }
            }
            Value::Users(users) => Shared::Users(users.clone()),
            Value::Certificate(certificate) => in_parts(certificate),
        };
        self.last += 1;
        let number = self.last;
        send(Message::Share { number, value: told });
        self.held.insert(address, Held { number, uses: 1, _value: value.clone() });
        number
    }

    /// One use less. The last one tells that it is released.
    pub(super) fn release(&mut self, value: &Value, send: &mut dyn FnMut(Message)) {
        let address = value.address();
        let Some(held) = self.held.get_mut(&address) else { return };
        held.uses -= 1;
        if held.uses > 0 {
            return;
        }
        let number = held.number;
        self.held.remove(&address);
        send(Message::Release { number });
        if let Value::Filters(filters) = value
            && let Some(users) = users_of(filters)
        {
            self.release(&users, send);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }
}

// === impl Value ===

impl Value {
    fn address(&self) -> usize {
        match self {
            Self::Filters(value) => Arc::as_ptr(value).addr(),
            Self::Users(value) => Arc::as_ptr(value).addr(),
            Self::Certificate(value) => Arc::as_ptr(value).addr(),
        }
    }
}

fn users_of(filters: &Filters) -> Option<Value> {
    match &filters.access.as_ref()?.auth {
        Auth::Basic(basic) => Some(Value::Users(basic.users.clone())),
        Auth::None | Auth::Unusable => None,
    }
}

fn in_parts(certificate: &ServerCertificate) -> Shared {
    let chain = Chain(certificate.chain().iter().map(|link| link.to_vec()).collect());
    let key = match certificate.key() {
        PrivateKeyDer::Pkcs1(key) => Key::Pkcs1(key.secret_pkcs1_der().to_vec()),
        PrivateKeyDer::Sec1(key) => Key::Sec1(key.secret_sec1_der().to_vec()),
        // The enum may grow; handshakes with a kind that is not known here were refused before.
        other => Key::Pkcs8(other.secret_der().to_vec()),
    };
    Shared::Certificate { chain, key }
}
