use std::fmt::Write as _;

use tungstenite::Error;
use tungstenite::client::uri_mode;
use tungstenite::error::UrlError;
use tungstenite::handshake::client::{Request, Response, generate_key};
use tungstenite::http::header::{AUTHORIZATION, COOKIE, HOST, LOCATION, PROXY_AUTHORIZATION};
use tungstenite::http::{HeaderValue, StatusCode, Uri};
use tungstenite::stream::Mode;

/// How often a redirect is followed in one dial.
const REDIRECTS: usize = 3;

/// Where a URL leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
}

impl Target {
    /// # Errors
    ///
    /// What is wrong with the scheme, the host or the port.
    pub(crate) fn of(url: &Uri) -> Result<Self, Error> {
        let is_tls = matches!(uri_mode(url)?, Mode::Tls);
        let host = url.host().ok_or(Error::Url(UrlError::NoHostName))?;
        if host.is_empty() {
            return Err(Error::Url(UrlError::EmptyHostName));
        }
        // Not by `port_u16`, which says `None` of a port that is none.
        let port = match place(url).strip_prefix(host).and_then(port) {
            Some(Port::Usual) if is_tls => 443,
            Some(Port::Usual) => 80,
            Some(Port::Given(port)) => port,
            None => return Err(unable(url, "a port is a number from 1 to 65535")),
        };
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            is_tls,
        })
    }

    /// The same for a connector that has TLS only with the feature `rustls`.
    ///
    /// # Errors
    ///
    /// The same; rejects `wss://` without the feature.
    pub(crate) fn supported(url: &Uri) -> Result<Self, Error> {
        let target = Self::of(url)?;
        if target.is_tls && !cfg!(feature = "rustls") {
            let words = "`wss://` needs TLS: enable the feature `rustls` of keepalive, \
                         or use `connect_over` with a TLS library";
            return Err(unable(url, words));
        }
        Ok(target)
    }
}

enum Port {
    Usual,
    Given(u16),
}

/// What follows the host: nothing, or a colon and the port, which may be empty (RFC
/// 3986 section 3.2.3).
fn port(rest: &str) -> Option<Port> {
    let Some(digits) = rest.strip_prefix(':') else {
        return rest.is_empty().then_some(Port::Usual);
    };
    if digits.is_empty() {
        return Some(Port::Usual);
    }
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok().filter(|port| *port > 0 && is_number);
    port.map(Port::Given)
}

/// Host and port as the URL has them, without user and password.
fn place(url: &Uri) -> &str {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    authority.rsplit('@').next().unwrap_or_default()
}

/// Says where, but neither user nor query: a token may stand there.
fn unable(url: &Uri, why: &str) -> Error {
    let scheme = url.scheme_str().unwrap_or_default();
    let words = format!("{scheme}://{}: {why}", place(url));
    Error::Url(UrlError::UnableToConnect(words))
}

/// The requests of one dial: the application's, and those that redirects ask for.
///
/// A redirect is followed three times at most, never from `wss` to `ws`. To another
/// scheme, host or port go no `Authorization`, `Cookie` and `Proxy-Authorization`.
#[derive(Debug)]
pub(crate) struct Requests {
    current: Request,
    followed: usize,
}

impl Requests {
    pub(crate) const fn new(first: Request) -> Self {
        Self {
            current: first,
            followed: 0,
        }
    }

    /// The request to make now.
    pub(crate) const fn current(&self) -> &Request {
        &self.current
    }

    /// Goes on to where this answer leads.
    ///
    /// # Errors
    ///
    /// The answer, where it is no redirect or is not followed.
    pub(crate) fn redirect(&mut self, response: Box<Response>) -> Result<(), Error> {
        match self.redirected(&response) {
            Some(request) if self.followed < REDIRECTS => {
                self.current = request;
                self.followed += 1;
                Ok(())
            }
            _ => Err(Error::Http(response)),
        }
    }

    fn redirected(&self, response: &Response) -> Option<Request> {
        let is_redirect = matches!(
            response.status(),
            StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT
        );
        let location = response.headers().get(LOCATION).filter(|_| is_redirect)?;
        let url = resolve(self.current.uri(), location.to_str().ok()?.trim())?;
        let (from, to) = (Target::of(self.current.uri()), Target::of(&url));
        let (from, to) = (from.ok()?, to.ok()?);
        if from.is_tls && !to.is_tls {
            return None;
        }
        let mut request = self.current.clone();
        let headers = request.headers_mut();
        if !from.is_same_origin(&to) {
            for credentials in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
                headers.remove(credentials);
            }
            headers.insert(HOST, HeaderValue::from_str(place(&url)).ok()?);
        }
        headers.insert(
            "Sec-WebSocket-Key",
            HeaderValue::from_str(&generate_key()).ok()?,
        );
        *request.uri_mut() = url;
        Some(request)
    }
}

impl Target {
    pub(crate) fn is_same_origin(&self, other: &Self) -> bool {
        self.host.eq_ignore_ascii_case(&other.host)
            && (self.port, self.is_tls) == (other.port, other.is_tls)
    }
}

/// What a `Location` refers to (RFC 3986 section 5.2); `http` is `ws`, and `https` is
/// `wss`. User, password and fragment are left out.
fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default();
    let scheme = base.scheme_str()?;
    if let Some(rest) = location.strip_prefix("//") {
        return absolute(scheme, rest);
    }
    if let Some((scheme, rest)) = location.split_once("://") {
        let is_scheme = |scheme: &str| !scheme.contains(['/', '?']);
        if is_scheme(scheme) {
            return absolute(scheme, rest);
        }
    }
    let (path, query) = match location.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (location, None),
    };
    let query = query.or_else(|| base.query().filter(|_| path.is_empty()));
    let path = match path {
        "" => base.path().to_owned(),
        path if path.starts_with('/') => without_dots(path),
        path => {
            let folder = base
                .path()
                .rsplit_once('/')
                .map_or("", |(folder, _)| folder);
            without_dots(&format!("{folder}/{path}"))
        }
    };
    let mut rest = format!("{}{path}", place(base));
    if let Some(query) = query {
        let _ = write!(rest, "?{query}");
    }
    absolute(scheme, &rest)
}

fn absolute(scheme: &str, rest: &str) -> Option<Uri> {
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "ws" | "http" => "ws",
        "wss" | "https" => "wss",
        _ => return None,
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let place = authority.rsplit('@').next()?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{place}{slash}{path}").parse().ok()
}

/// A path without its `.` and `..` (RFC 3986 section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    let mut ends_in_folder = false;
    for segment in path.split('/').skip(1) {
        ends_in_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    if ends_in_folder {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use tungstenite::client::IntoClientRequest;
    use tungstenite::http::header::ORIGIN;

    use super::*;

    fn target(url: &str) -> Result<Target, String> {
        Target::of(&url.parse().unwrap()).map_err(|error| error.to_string())
    }

    fn leads_to(url: &str, host: &str, port: u16, is_tls: bool) {
        let host = host.to_owned();
        assert_eq!(target(url), Ok(Target { host, port, is_tls }), "{url}");
    }

    #[test]
    fn a_url_leads_to_a_host_and_a_port() {
        leads_to("ws://example.com/", "example.com", 80, false);
        leads_to("wss://example.com", "example.com", 443, true);
        leads_to("ws://example.com:8080/a?b:9", "example.com", 8080, false);
        leads_to("ws://example.com:/", "example.com", 80, false);
        leads_to("ws://example.com:00080/", "example.com", 80, false);
        leads_to("ws://example.com:65535/", "example.com", 65535, false);
        leads_to("wss://[::1]/", "::1", 443, true);
        leads_to("ws://[2001:db8::1]:9001/", "2001:db8::1", 9001, false);
        leads_to("wss://me:pass:word@example.com/", "example.com", 443, true);
        leads_to("wss://me:65536@[::1]:1/", "::1", 1, true);
    }

    #[test]
    fn a_port_that_is_none_is_an_error() {
        for port in [
            "65536",
            "99999999999999999999",
            "0",
            "+80",
            "-1",
            "80a",
            "http",
        ] {
            let url = format!("wss://me:secret@example.com:{port}/?token");
            let words = format!(
                "URL error: Unable to connect to wss://example.com:{port}: \
                 a port is a number from 1 to 65535"
            );
            assert_eq!(target(&url), Err(words));
        }
        target("ws://[::1]80/").unwrap_err();
    }

    #[test]
    fn what_leads_nowhere_is_an_error() {
        assert_eq!(
            target("ws://:80/").unwrap_err(),
            "URL error: URL contains empty host name"
        );
        assert_eq!(
            target("http://h/").unwrap_err(),
            "URL error: URL scheme not supported"
        );
        assert_eq!(
            target("/path").unwrap_err(),
            "URL error: URL scheme not supported"
        );
    }

    #[test]
    fn without_tls_the_error_says_what_has_it() {
        let target = Target::supported(&"wss://me:secret@h:8443/?token".parse().unwrap());
        let words = "URL error: Unable to connect to wss://h:8443: `wss://` needs TLS: enable \
                     the feature `rustls` of keepalive, or use `connect_over` with a TLS library";
        if cfg!(feature = "rustls") {
            assert!(target.unwrap().is_tls);
        } else {
            assert_eq!(target.unwrap_err().to_string(), words);
        }
        assert!(Target::supported(&"ws://h/".parse().unwrap()).is_ok());
    }

    fn resolved(base: &str, location: &str) -> Option<String> {
        let url = resolve(&base.parse().unwrap(), location)?;
        Some(url.to_string())
    }

    #[test]
    fn a_location_is_resolved() {
        let base = "ws://example.com:81/a/b/c?q=1";
        for (location, url) in [
            ("ws://other/x?y#z", "ws://other/x?y"),
            ("wss://other", "wss://other/"),
            ("WSS://other?x", "wss://other/?x"),
            ("http://other/", "ws://other/"),
            ("https://other:1/", "wss://other:1/"),
            ("https://me:secret@other/x@y", "wss://other/x@y"),
            ("//other/x", "ws://other/x"),
            ("/x", "ws://example.com:81/x"),
            ("/x?to=http://y", "ws://example.com:81/x?to=http://y"),
            ("x", "ws://example.com:81/a/b/x"),
            ("x/", "ws://example.com:81/a/b/x/"),
            ("./x", "ws://example.com:81/a/b/x"),
            ("../x", "ws://example.com:81/a/x"),
            ("../../../x", "ws://example.com:81/x"),
            ("..", "ws://example.com:81/a/"),
            (".", "ws://example.com:81/a/b/"),
            ("/x/../y/./z", "ws://example.com:81/y/z"),
            ("?r=2", "ws://example.com:81/a/b/c?r=2"),
            ("", "ws://example.com:81/a/b/c?q=1"),
            ("#top", "ws://example.com:81/a/b/c?q=1"),
        ] {
            assert_eq!(resolved(base, location).as_deref(), Some(url), "{location}");
        }
        assert_eq!(resolved("wss://h", "x"), Some("wss://h/x".to_owned()));
        assert_eq!(resolved(base, "ftp://other/"), None);
        assert_eq!(resolved(base, "ws://"), None);
        assert_eq!(resolved(base, "/a b"), None);
    }

    fn requests(url: &str) -> Requests {
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, ORIGIN] {
            headers.insert(name, HeaderValue::from_static("secret"));
        }
        Requests::new(request)
    }

    fn answer(status: u16, location: &str) -> Box<Response> {
        let response = Response::new(None);
        let (mut parts, body) = response.into_parts();
        parts.status = StatusCode::from_u16(status).unwrap();
        parts.headers.insert(LOCATION, location.parse().unwrap());
        Box::new(Response::from_parts(parts, body))
    }

    #[test]
    fn a_redirect_is_followed_three_times() {
        for status in [301, 302, 303, 307, 308] {
            let mut requests = requests("ws://example.com/");
            for _ in 0..3 {
                assert!(requests.redirect(answer(status, "/again")).is_ok());
                assert_eq!(requests.current().uri(), "ws://example.com/again");
            }
            let error = requests.redirect(answer(status, "/again")).unwrap_err();
            assert!(matches!(error, Error::Http(response) if response.status() == status));
        }
        for status in [200, 300, 304, 305, 401, 503] {
            let mut requests = requests("ws://example.com/");
            assert!(requests.redirect(answer(status, "/")).is_err(), "{status}");
        }
        let mut requests = requests("ws://example.com/");
        assert!(
            requests
                .redirect(answer(302, "http://other:65536/"))
                .is_err()
        );
        assert!(requests.redirect(Box::new(Response::new(None))).is_err());
    }

    #[test]
    fn a_redirect_never_leaves_tls() {
        for location in ["ws://example.com/", "http://example.com:443/"] {
            assert!(
                requests("wss://example.com/")
                    .redirect(answer(302, location))
                    .is_err()
            );
        }
        let mut requests = requests("ws://example.com/");
        requests
            .redirect(answer(302, "https://example.com/"))
            .unwrap();
        assert_eq!(requests.current().uri(), "wss://example.com/");
        assert!(
            requests
                .redirect(answer(302, "http://example.com/"))
                .is_err()
        );
    }

    fn has_secrets(request: &Request) -> bool {
        let found = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION]
            .map(|name| request.headers().contains_key(name));
        assert!(found == [found[0]; 3]);
        assert!(request.headers().contains_key(ORIGIN));
        found[0]
    }

    #[test]
    fn credentials_stay_with_their_host() {
        let url = "ws://me:secret@example.com/";
        for location in ["/x", "ws://example.com/x", "http://EXAMPLE.com:80/x"] {
            let mut requests = requests(url);
            let key = requests.current().headers()["Sec-WebSocket-Key"].clone();
            requests.redirect(answer(302, location)).unwrap();
            let request = requests.current();
            assert!(has_secrets(request), "{location}");
            assert_eq!(request.headers()[HOST], "example.com");
            assert_ne!(request.headers()["Sec-WebSocket-Key"], key);
        }
        for (location, host) in [
            ("ws://other/x", "other"),
            ("ws://you:word@other/x", "other"),
            ("ws://example.com:81/x", "example.com:81"),
            ("wss://example.com/x", "example.com"),
        ] {
            let mut requests = requests(url);
            requests.redirect(answer(302, location)).unwrap();
            let request = requests.current();
            assert!(!has_secrets(request), "{location}");
            assert_eq!(request.headers()[HOST], host);
            assert!(!request.uri().to_string().contains('@'));
            // Nor are they back where it began.
            requests.redirect(answer(302, url)).ok();
            assert!(!has_secrets(requests.current()), "{location}");
        }
    }
}
