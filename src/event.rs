use core::fmt;
use core::time::Duration;

/// What happened: the input of [`Heartbeat::handle`](crate::Heartbeat::handle).
///
/// The table in [`Heartbeat`](crate::Heartbeat) says what each event does in each
/// state. An event that has no meaning in the current state changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Begin: dial, but no sooner than 1 s after the last dial began.
    Start,
    /// The transport is up. Also valid without [`Start`](Self::Start): for a server's
    /// accepted socket, or a socket that opened by itself.
    Opened,
    /// Something came in: a frame, or just some bytes of one.
    Received,
    /// A whole message for the application came in. This counts as
    /// [`Received`](Self::Received) too; report only this.
    Message,
    /// An answer to a ping. This counts as [`Received`](Self::Received) too. Report an
    /// application-level answer without an id with the id of the oldest ping that is
    /// out, or as `Received`.
    Pong(PingId),
    /// A message from the application was handed to the transport.
    Sent,
    /// Optional: the transport accepted bytes of ours while the last ping still waits
    /// behind them in our own buffer, so the peer is alive and has the whole timeout
    /// from here. Ignored unless that ping is awaited and has not left. If you report
    /// this, report [`PingSent`](Self::PingSent) too.
    Draining,
    /// Optional: that ping has left our buffer, so its answer and its round trip count
    /// from here. Ignored unless that ping is awaited, or was replaced by the one that
    /// is awaited; only the first report for a ping counts.
    PingSent(PingId),
    /// Time has passed. Early, late and repeated ticks are safe.
    Tick,
    /// The transport ended.
    Closed(Closed),
    /// The server answered the dial with a refusal.
    Refused(Refused),
    /// The transport or a dial failed. The value says what to do about it, where the
    /// application decides that and not the [`Policy`](crate::Policy).
    ///
    /// The first of `Error`, [`Closed`](Self::Closed) and [`Refused`](Self::Refused)
    /// counts, so an adapter that will learn more reports only that.
    Error(Option<Retry>),
    /// The network path may have changed: back online, woken from suspend, the tab
    /// visible again.
    NetworkChanged,
    /// The application has what it connected for (logged in, joined). Ends the wait for
    /// `healthy_within`, and proves the connection just as received data does. Only the
    /// first on a connection counts.
    Healthy,
    /// The application gives this connection up (login refused or unanswered): as if
    /// the peer had closed with this code, but we are the ones who close.
    GiveUp(Closed),
    /// Connect anew now, whatever the state, but no sooner than 1 s after the last dial
    /// began. A dial younger than 5 s counts as that new connection.
    ReconnectNow,
    /// Stop: the application is done.
    Stop,
}

/// How a transport ended, for [`Event::Closed`], or is to end, for
/// [`Event::GiveUp`].
///
/// ```
/// use core::time::Duration;
/// use keepalive::{CloseCode, Closed, Retry};
///
/// let closed = Closed::with_code(CloseCode::TRY_AGAIN_LATER).retry_after(Duration::from_secs(30));
/// assert_eq!(closed.code, Some(CloseCode(1013)));
/// assert_eq!(closed.retry, None);
/// assert_eq!(Closed::from(None), Closed::default());
/// assert_eq!(Closed::default().retry(Retry::Stop).retry, Some(Retry::Stop));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The close code that came over the wire; `None` where none came (what
    /// browsers call 1005 and 1006).
    pub code: Option<CloseCode>,
    /// The server's hint for how long to stay away. It is added to the drawn delay;
    /// more than 24 h counts as 24 h.
    pub retry_after: Option<Duration>,
    /// What to do about it, where the application decides that; it takes
    /// precedence over the [`Policy`](crate::Policy).
    pub retry: Option<Retry>,
}

impl Closed {
    /// An end with this close code, and nothing else.
    #[must_use]
    pub const fn with_code(code: CloseCode) -> Self {
        Self {
            code: Some(code),
            retry_after: None,
            retry: None,
        }
    }

    /// The same with a server's hint how long to stay away.
    #[must_use]
    pub const fn retry_after(mut self, hint: Duration) -> Self {
        self.retry_after = Some(hint);
        self
    }

    /// The same with the application's own decision.
    #[must_use]
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }
}

impl From<Option<CloseCode>> for Closed {
    /// An end with this close code, or with none where none came, and nothing else.
    fn from(code: Option<CloseCode>) -> Self {
        Self {
            code,
            retry_after: None,
            retry: None,
        }
    }
}

/// How a dial was refused, for [`Event::Refused`].
///
/// ```
/// use core::time::Duration;
/// use keepalive::Refused;
///
/// let refused = Refused::with_status(503).retry_after(Duration::from_secs(120));
/// assert_eq!((refused.status, refused.retry), (503, None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The HTTP status of the answer.
    pub status: u16,
    /// The server's hint for how long to stay away (`Retry-After`). It is added to the
    /// drawn delay; more than 24 h counts as 24 h.
    pub retry_after: Option<Duration>,
    /// What to do about it, where the application decides that; it takes
    /// precedence over the [`Policy`](crate::Policy).
    pub retry: Option<Retry>,
}

impl Refused {
    /// A refusal with this HTTP status, and nothing else.
    #[must_use]
    pub const fn with_status(status: u16) -> Self {
        Self {
            status,
            retry_after: None,
            retry: None,
        }
    }

    /// The same with a server's hint how long to stay away.
    #[must_use]
    pub const fn retry_after(mut self, hint: Duration) -> Self {
        self.retry_after = Some(hint);
        self
    }

    /// The same with the application's own decision.
    #[must_use]
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }
}

/// Whether to come back, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// Do not come back.
    Stop,
    /// The ordinary delay for this attempt.
    Backoff,
    /// The delay that late attempts have, even for the first: U\[`backoff_floor`,
    /// `backoff_cap`\].
    Spread,
    /// U\[`least`, `greatest`\], each clamped to 1 ms to 24 h; a `greatest` under
    /// `least` counts as `least`. The dial comes no sooner than 1 s after the last
    /// one began.
    Between {
        /// The shortest delay.
        least: Duration,
        /// The longest delay.
        greatest: Duration,
    },
}

/// A WebSocket close code (RFC 6455 section 7.4, and the IANA registry for those
/// that came later).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server is shutting down, or the page is being left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1008: a message violated the peer's policy.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1011: the server met an unexpected condition.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service is restarting; come back within 5 to 30 s.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the server is overloaded; try again later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
}

impl fmt::Display for CloseCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Identifies one ping, so that its pong is distinguished from all others.
///
/// No two pings of a [`Heartbeat`](crate::Heartbeat) have the same id, until 2^32
/// connections or 2^32 pings on one of them have gone by. On the wire it takes 8 bytes,
/// big endian, of the 125 that a control frame may carry (RFC 6455 section 5.5).
///
/// ```
/// use keepalive::PingId;
///
/// let id = PingId::from_bytes([0, 0, 0, 1, 0, 0, 0, 9]);
/// assert_eq!(PingId::from_payload(&id.to_bytes()), Some(id));
/// assert_eq!(id.sequence(), 9);
/// assert_eq!(PingId::from_payload(b"not ours"), Some(PingId::from_bytes(*b"not ours")));
/// assert_eq!(PingId::from_payload(b"seven b"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PingId(u64);

impl PingId {
    pub(crate) const fn new(epoch: Epoch, sequence: u32) -> Self {
        Self(((epoch.0 as u64) << 32) | sequence as u64)
    }

    /// The 8 bytes to send as the payload of the ping.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The id in these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// The id in the payload of a pong, or `None` if the payload does not have 8 bytes,
    /// so that it cannot answer a ping of ours.
    #[must_use]
    pub fn from_payload(payload: &[u8]) -> Option<Self> {
        payload.try_into().ok().map(Self::from_bytes)
    }

    /// The number of this ping on its connection, from 1.
    #[must_use]
    pub const fn sequence(self) -> u32 {
        self.0 as u32
    }

    pub(crate) const fn epoch(self) -> Epoch {
        Epoch((self.0 >> 32) as u32)
    }
}

/// Distinguishes one connection or dial from the next; see
/// [`Heartbeat::handle_from`](crate::Heartbeat::handle_from).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Epoch(pub(crate) u32);

impl Epoch {
    pub(crate) fn advance(&mut self) {
        self.0 = self.0.wrapping_add(1);
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
