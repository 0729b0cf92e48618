//! What can be asked of a watch.

use std::time::Duration;

use jiff::SignedDuration;
use keepalive::{Config, ConfigError};
use tungstenite::client::{IntoClientRequest, uri_mode};
use tungstenite::handshake::client::Request;
use tungstenite::http::{HeaderName, HeaderValue, Uri};

use super::limits::Limits;

pub(crate) const DURATIONS: &str = "Durations are written as 500ms, 2s or 1m30s, from 1ms to 24h.";

pub(crate) const EXIT: &str = "\
Exit codes:
    0  a watch came to its end (Ctrl-C, --count, --for), was connected at least
       once, and no limit was exceeded; in the show, every fault was noticed in
       time and healed
    1  a watch was never connected, a limit was exceeded, a dial failed with
       --fail-fast, or something could not be written; in the show, a fault was
       not noticed in time or not healed
    2  the arguments are wrong, or a file or an address that they name cannot be
       used
  130  a second Ctrl-C came before the close handshake was over, or nobody read
       what was written for 10 s after the first";

/// What the handshake writes itself.
const RESERVED: [&str; 5] = [
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
];

/// The bounds of the settings' durations, which hold for the others as well.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the server has to answer the close handshake at the end.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// All but the URL, and how it is printed.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// A ping goes out after this long without a message
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    #[arg(requires = "url")]
    pub(crate) interval: Duration,

    /// The server is dead when nothing comes for this long after it
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    #[arg(requires = "url")]
    pub(crate) timeout: Duration,

    /// End after this many pongs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    #[arg(requires = "url")]
    pub(crate) count: Option<u64>,

    /// End after this time
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    #[arg(requires = "url")]
    pub(crate) lasts: Option<Duration>,

    /// Ping with this text; the next message is the answer
    #[arg(long, value_name = "TEXT", requires = "url")]
    pub(crate) text: Option<String>,

    /// 'Name: value' for the handshake; may be repeated
    #[arg(long = "header", value_name = "HEADER", value_parser = header)]
    #[arg(requires = "url")]
    pub(crate) headers: Vec<Header>,

    /// Fail with the first dial that fails
    #[arg(long, requires = "url")]
    pub(crate) fail_fast: bool,

    #[command(flatten)]
    pub(crate) limits: Limits,
}

pub(crate) type Header = (HeaderName, HeaderValue);

impl Settings {
    /// The article's settings, with the times asked for.
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        Config::article()
            .to_builder()
            .ping_interval(self.interval)
            .pong_timeout(self.timeout)
            .close_timeout(CLOSE_TIMEOUT)
            .build()
    }
}

/// The handshake with this URL's server.
pub(crate) fn request(url: &Uri, headers: &[Header]) -> Result<Request, tungstenite::Error> {
    let mut request = url.into_client_request()?;
    for (name, value) in headers {
        if *name == "host" {
            request.headers_mut().insert(name, value.clone());
        } else {
            request.headers_mut().append(name, value.clone());
        }
    }
    Ok(request)
}

pub(crate) fn url(text: &str) -> Result<Uri, String> {
    if matches!(text, "ws://" | "wss://") {
        return Err("it names no host".to_owned());
    }
    let url: Uri = text.parse().map_err(|error| format!("{error}"))?;
    if uri_mode(&url).is_err() {
        return Err("a WebSocket URL begins with ws:// or wss://".to_owned());
    }
    if url.scheme_str() == Some("wss") && !cfg!(feature = "rustls") {
        return Err("wss:// takes one feature more: --features blocking,rustls".to_owned());
    }
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let host = url.host().unwrap_or_default();
    if host.is_empty() {
        return Err("it names no host".to_owned());
    }
    if authority.contains('@') {
        return Err(
            "name and password do not go into the URL, but into --header 'Authorization: ...'"
                .to_owned(),
        );
    }
    if authority != host && url.port_u16().is_none_or(|port| port == 0) {
        return Err("a port is a number from 1 to 65535".to_owned());
    }
    url.into_client_request()
        .map(|request| request.uri().clone())
        .map_err(|error| error.to_string())
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().ok();
    let duration = parsed
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or("a duration is written as 500ms, 2s or 1m30s")?;
    if (SHORTEST..=LONGEST).contains(&duration) {
        Ok(duration)
    } else {
        Err("a duration is from 1ms to 24h".to_owned())
    }
}

pub(crate) fn header(text: &str) -> Result<Header, String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("a header is written as 'Name: value'")?;
    let name: HeaderName = name.trim().parse().map_err(|error| format!("{error}"))?;
    if RESERVED.contains(&name.as_str()) {
        return Err(format!("{name} belongs to the handshake"));
    }
    let value = value.trim().parse().map_err(|error| format!("{error}"))?;
    Ok((name, value))
}
