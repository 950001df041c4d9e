//! The redirects that we answer ourselves.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use http::header::{CONTENT_LENGTH, LOCATION};
use http::{HeaderValue, Response, StatusCode, Uri};

use super::Reply;
use crate::filter::redirect;
use crate::proxy::body::ReplyBody;
use crate::proxy::error::Failure;
use crate::routing::{Moved, MovedTo, Redirect, RequestHost};

/// T11.
pub(super) fn to_https(
    redirect: Redirect,
    host: RequestHost<'_>,
    local: IpAddr,
    port: Option<u16>,
    uri: &Uri,
) -> Result<Reply, Failure> {
    let host = match host {
        RequestHost::Name(name) => Cow::Borrowed(name),
        RequestHost::Ip(address) => Cow::Owned(literal(address)),
        RequestHost::Absent => Cow::Owned(literal(local)),
    };
    // `OPTIONS *` asks for no path.
    let target = uri.path_and_query().map(|target| target.as_str());
    let target = target.filter(|target| target.starts_with('/')).unwrap_or("/");
    let location = redirect::location(redirect, &host, port, target)
        .ok_or(Failure::BadRequest("target not fit for a redirect"))?;
    Ok(answer(redirect.status, location))
}

/// `named`: the host as the client sent it, with its port; without one our address stands for it.
pub(super) fn moved(
    moved: &Moved,
    https: bool,
    named: Option<&HeaderValue>,
    local: SocketAddr,
) -> Result<Reply, Failure> {
    let location = match &moved.to {
        MovedTo::Url(url) => url.clone(),
        MovedTo::Path(path) => {
            let host = match named.and_then(|named| named.to_str().ok()) {
                Some(named) => Cow::Borrowed(named),
                None => Cow::Owned(format!("{}:{}", literal(local.ip()), local.port())),
            };
            let scheme = if https { "https" } else { "http" };
            HeaderValue::try_from(format!("{scheme}://{host}{path}"))
                .map_err(|_| Failure::BadRequest("host not fit for a redirect"))?
        }
    };
    Ok(answer(moved.status, location))
}

fn literal(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn answer(status: u16, location: HeaderValue) -> Reply {
    let mut response = Response::new(ReplyBody::Empty);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND);
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    Reply::Response(response)
}
