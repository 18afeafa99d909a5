//! Who may look at documents and start jobs.
//!
//! Both are off unless configured. Jobs always need the token. Looking at documents needs it where one is configured or the listener
//! can be reached from other machines; on loopback without a token only requests to a name of this machine are answered, because a
//! web page whose name resolves to a loopback address could otherwise read documents through a browser (DNS rebinding), and none that a
//! proxy says it passed on. Only the
//! token's SHA-256 is kept, and hashes are compared, so that the time of an answer tells nothing about the token.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::config::{self, resolve_secret};
use crate::failure::{CommandError, Exit};

/// Shortest token, in bytes. Whoever can reach the port can guess as often as they like.
const TOKEN_BYTES_MIN: usize = 16;

/// What the admin server allows, and to whom.
#[derive(Debug, Clone)]
pub struct Access {
    browse: bool,
    jobs: bool,
    token_sha256: Option<[u8; 32]>,
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Documents cannot be looked at here.
    BrowsingOff,
    /// Jobs cannot be started here.
    JobsOff,
    /// The token is missing or wrong.
    Token,
    /// The request names another machine.
    Host,
    /// The request came through a proxy, and nothing says who sent it.
    Forwarded,
}

impl Access {
    /// Nothing but health and metrics, for anybody.
    pub fn closed() -> Self {
        Self { browse: false, jobs: false, token_sha256: None }
    }

    /// As configured.
    ///
    /// # Errors
    ///
    /// With the exit code for configuration where a token is needed and there is none, or it is too short.
    pub fn open(admin: &config::Admin) -> Result<Self, CommandError> {
        let refused = |message: String, remedy: &str| Err(CommandError::new(Exit::Usage, message, remedy));
        let loopback = admin.listen.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
        let needed = admin.jobs || (admin.browse && !loopback);
        let is_set = admin.token_file.is_some() || std::env::var_os(&admin.token_env).is_some();
        let remedy = "put a random token of at least 16 characters there, such as the output of `openssl rand -hex 32`";
        if !is_set && !needed {
            return Ok(Self { browse: admin.browse, jobs: admin.jobs, token_sha256: None });
        }
        let token = match resolve_secret(&admin.token_env, admin.token_file.as_deref()) {
            Ok(token) => token,
            Err(problem) => {
                let why = if admin.jobs { "admin.jobs" } else { "admin.browse" };
                let why = if needed { format!("{why} needs a token: ") } else { String::new() };
                return refused(format!("{why}{problem}"), remedy);
            }
        };
        let token = token.expose_secret();
        if token.len() < TOKEN_BYTES_MIN {
            return refused(format!("the admin token has fewer than {TOKEN_BYTES_MIN} characters"), remedy);
        }
        let hash = Sha256::digest(token.as_bytes()).into();
        Ok(Self { browse: admin.browse, jobs: admin.jobs, token_sha256: Some(hash) })
    }

    /// Whether documents can be looked at at all.
    pub fn browsing_is_on(&self) -> bool {
        self.browse
    }

    /// Whether jobs can be started at all.
    pub fn jobs_are_on(&self) -> bool {
        self.jobs
    }

    /// Whether looking at documents asks for the token.
    pub fn browsing_needs_token(&self) -> bool {
        self.token_sha256.is_some()
    }

    /// Whether this request may see documents.
    ///
    /// # Errors
    ///
    /// The reason why not, which is also an answer.
    pub fn may_browse(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if !self.browse {
            return Err(Refusal::BrowsingOff);
        }
        match self.token_sha256 {
            Some(hash) => with_token(headers, hash),
            None if !names_this_machine(headers) => Err(Refusal::Host),
            None if is_forwarded(headers) => Err(Refusal::Forwarded),
            None => Ok(()),
        }
    }

    /// Whether this request may start, see and cancel jobs.
    ///
    /// # Errors
    ///
    /// The reason why not, which is also an answer.
    pub fn may_run_jobs(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        match self.token_sha256 {
            Some(hash) if self.jobs => with_token(headers, hash),
            // `open` lets nobody have jobs without a token.
            _ => Err(Refusal::JobsOff),
        }
    }
}

fn with_token(headers: &HeaderMap, sha256: [u8; 32]) -> Result<(), Refusal> {
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    let (scheme, token) = given.split_at_checked("Bearer ".len()).unwrap_or_default();
    let right = <[u8; 32]>::from(Sha256::digest(token)) == sha256;
    if scheme.eq_ignore_ascii_case(b"Bearer ") && right { Ok(()) } else { Err(Refusal::Token) }
}

/// Whether the request was sent to `localhost` or a loopback address, as its `Host` says.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.contains(':') => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a proxy says that it passed the request on: then the loopback address is the proxy's and not the sender's. A proxy need not say
/// so, which is why `docs/page.md` asks for a token behind any.
fn is_forwarded(headers: &HeaderMap) -> bool {
    let marks = |name: &str| name.starts_with("x-forwarded") || ["forwarded", "via", "x-real-ip"].contains(&name);
    headers.keys().any(|name| marks(name.as_str()))
}

impl Refusal {
    fn told(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        match self {
            Self::BrowsingOff => (
                StatusCode::FORBIDDEN,
                "browsing_off",
                "looking at documents is off",
                "set admin.browse = true; off loopback it needs a token",
            ),
            Self::JobsOff => (
                StatusCode::FORBIDDEN,
                "jobs_off",
                "jobs are off",
                "set admin.jobs = true and a token in admin.token_env",
            ),
            Self::Token => (
                StatusCode::UNAUTHORIZED,
                "token",
                "the token is missing or wrong",
                "send the header Authorization: Bearer TOKEN",
            ),
            Self::Host => (
                StatusCode::MISDIRECTED_REQUEST,
                "host",
                "the request was sent to another name than this machine's",
                "ask for it at localhost or 127.0.0.1, or set a token",
            ),
            Self::Forwarded => (
                StatusCode::FORBIDDEN,
                "forwarded",
                "a proxy passed the request on, so it may come from anywhere",
                "set a token in admin.token_env or admin.token_file; or ask without the proxy",
            ),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code, message, remedy) = self.told();
        let body = json!({ "error": { "code": code, "message": message, "remedy": remedy } });
        let mut answer = (status, axum::Json(body)).into_response();
        if self == Self::Token {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const TOKEN: &str = "0123456789abcdef-right";

    fn admin(
        listen: &str,
        browse: bool,
        jobs: bool,
        token: Option<&str>,
    ) -> (config::Admin, Option<tempfile::NamedTempFile>) {
        let file = token.map(|token| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            writeln!(file, "{token}").unwrap();
            file
        });
        let admin = config::Admin {
            listen: listen.to_owned(),
            browse,
            jobs,
            token_env: "COSMIRROR_NOBODY_SETS_THIS".to_owned(),
            token_file: file.as_ref().map(|file| file.path().to_owned()),
            ..config::Admin::default()
        };
        (admin, file)
    }

    fn access(listen: &str, browse: bool, jobs: bool, token: Option<&str>) -> Result<Access, CommandError> {
        let (admin, _file) = admin(listen, browse, jobs, token);
        Access::open(&admin)
    }

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn what_needs_a_token_does_not_start_without_one() {
        assert!(access("127.0.0.1:1", false, false, None).is_ok());
        assert!(access("0.0.0.0:1", false, false, None).is_ok());
        assert!(access("[::1]:1", true, false, None).is_ok());
        for (listen, browse, jobs, name) in
            [("0.0.0.0:1", true, false, "admin.browse"), ("127.0.0.1:1", false, true, "admin.jobs")]
        {
            let error = access(listen, browse, jobs, None).unwrap_err();
            assert!(error.exit == Exit::Usage && error.message.starts_with(name), "{error}");
        }
        let error = access("127.0.0.1:1", false, false, Some("short-secret")).unwrap_err();
        assert!(!error.message.contains("short-secret") && error.message.contains("16 characters"), "{error}");
    }

    #[test]
    fn nothing_is_allowed_that_is_off() {
        let access = access("127.0.0.1:1", false, false, Some(TOKEN)).unwrap();
        let right = headers(header::AUTHORIZATION, &format!("Bearer {TOKEN}"));
        assert_eq!(access.may_browse(&right), Err(Refusal::BrowsingOff));
        assert_eq!(access.may_run_jobs(&right), Err(Refusal::JobsOff));
    }

    #[test]
    fn a_configured_token_is_asked_for_on_loopback_too() {
        let access = access("127.0.0.1:1", true, true, Some(TOKEN)).unwrap();
        for right in [format!("Bearer {TOKEN}"), format!("bearer {TOKEN}")] {
            let headers = headers(header::AUTHORIZATION, &right);
            assert_eq!((access.may_browse(&headers), access.may_run_jobs(&headers)), (Ok(()), Ok(())));
        }
        let mut wrong = vec![HeaderMap::new(), headers(header::HOST, "localhost")];
        let others = [format!("Bearer {TOKEN}x"), "Bearer ".to_owned(), TOKEN.to_owned(), format!("Basic {TOKEN}")];
        wrong.extend(others.iter().map(|value| headers(header::AUTHORIZATION, value)));
        for headers in wrong {
            let refused = (access.may_browse(&headers), access.may_run_jobs(&headers));
            assert_eq!(refused, (Err(Refusal::Token), Err(Refusal::Token)), "{headers:?}");
        }
    }

    #[test]
    fn without_a_token_only_names_of_this_machine_are_answered() {
        let access = access("127.0.0.1:1", true, false, None).unwrap();
        for host in ["localhost", "LOCALHOST:9464", "127.0.0.1", "127.0.0.1:9464", "127.8.9.1:1", "[::1]", "[::1]:9464"]
        {
            assert_eq!(access.may_browse(&headers(header::HOST, host)), Ok(()), "{host}");
        }
        for host in ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", "localhost.evil:80", "10.0.0.1", ""]
        {
            assert_eq!(access.may_browse(&headers(header::HOST, host)), Err(Refusal::Host), "{host}");
        }
        assert_eq!(access.may_browse(&HeaderMap::new()), Err(Refusal::Host));
    }

    #[test]
    fn what_a_proxy_passed_on_is_refused_without_a_token() {
        let closed = access("127.0.0.1:1", true, false, None).unwrap();
        let guarded = access("127.0.0.1:1", true, false, Some(TOKEN)).unwrap();
        for name in ["forwarded", "via", "x-real-ip", "x-forwarded-for", "X-Forwarded-Host", "x-forwarded-proto"] {
            let mut headers = headers(header::HOST, "127.0.0.1:9464");
            headers.insert(header::HeaderName::try_from(name).unwrap(), "203.0.113.9".parse().unwrap());
            assert_eq!(closed.may_browse(&headers), Err(Refusal::Forwarded), "{name}");
            headers.insert(header::AUTHORIZATION, format!("Bearer {TOKEN}").parse().unwrap());
            assert_eq!(guarded.may_browse(&headers), Ok(()), "{name}");
        }
    }
}
