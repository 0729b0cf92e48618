//! The driver: what lies between the machine and a socket, for every adapter.
//!
//! An adapter is I/O. It implements [`Transport`] (dial, read, write, flush, the time)
//! and calls [`Driver::run`] whenever something may have happened; everything else is
//! decided here: what goes out and in which order, what is reported, how an end is
//! judged, which messages are in doubt, and when a verdict may be spoken. Nothing here
//! waits or knows a clock, a socket or a runtime.
//!
//! ```
//! use core::time::Duration;
//! use keepalive::driver::{Driver, NoFrames, Notice, Order, Plain, Read, Step, Transport};
//! use keepalive::Config;
//!
//! /// A peer that greets, in virtual time.
//! #[derive(Default)]
//! struct Greeter { now: Duration, opens: bool, greets: bool, sent: Vec<String> }
//!
//! impl Transport for Greeter {
//!     type Message = String;
//!     type Error = ();
//!     type Instant = Duration;
//!
//!     fn now(&mut self) -> Duration {
//!         self.now
//!     }
//!     fn carry_out(&mut self, order: Order<String>) {
//!         if let Order::Dial { .. } = order {
//!             (self.opens, self.greets) = (true, true);
//!         }
//!     }
//!     fn read(&mut self) -> Read<String, (), Duration> {
//!         if core::mem::take(&mut self.opens) {
//!             return Read::Opened;
//!         }
//!         if core::mem::take(&mut self.greets) {
//!             return Read::Message("hello".to_owned());
//!         }
//!         Read::Nothing(self.now)
//!     }
//!     fn is_ready(&mut self) -> Result<bool, ()> {
//!         Ok(true)
//!     }
//!     fn write(&mut self, message: String) -> Result<(), ()> {
//!         self.sent.push(message);
//!         Ok(())
//!     }
//!     fn flush(&mut self) -> Result<bool, ()> {
//!         Ok(true)
//!     }
//! }
//!
//! let mut transport = Greeter::default();
//! # let seed = 42;
//! // A different seed per client, or they act in lockstep.
//! let mut driver = Driver::client(Config::listener(), seed, NoFrames::new(), Plain);
//! let mut heard = Vec::new();
//! loop {
//!     match driver.run(&mut transport) {
//!         Step::Told(Notice::Opened { .. }) => driver.send("login".to_owned()).unwrap(),
//!         Step::Message(message) => heard.push(message),
//!         Step::Told(_) | Step::Again => {}
//!         // Here an adapter waits for the socket, for a wish, or until then.
//!         Step::Idle(Some(_due)) => break,
//!         Step::Idle(None) | Step::Over => break,
//!     }
//! }
//! assert_eq!(heard, ["hello"]);
//! assert_eq!(transport.sent, ["login"]);
//! ```
//!
//! # What goes out
//!
//! In this order: the ping; the answer to the peer's latest ping; what was
//! [sent](Driver::send) for this connection; the [backlog](Transport::backlog); the
//! goodbye. The backlog waits until the application has been told of the connection and
//! has asked for the next notice, and under `healthy_within` until it has reported
//! [`healthy`](Driver::healthy): so a login goes first, however much waits.
//!
//! # What is in doubt
//!
//! A message is *handed over* when the transport takes it. After that it may lie in a
//! buffer of ours, in one of the operating system's, on the way, or in the peer's; when
//! the connection breaks, nobody can say where. Neither TCP nor WebSocket reports it.
//!
//! But a WebSocket is read in order, and whoever reads a ping answers it. So each ping
//! remembers how many messages were handed over before it, and its pong *confirms*
//! them: the far end of this WebSocket has read up to there. What no pong has confirmed
//! is *in doubt*, and the [`Down`] of the connection says how many messages that is.
//!
//! - What a pong proves: the far end read the message. It does not prove that its
//!   application did anything with it, and where a proxy terminates the WebSocket and
//!   opens another one, the far end is the proxy.
//! - In doubt is not lost: much of it has arrived. Sending it again is safe only if the
//!   server knows its messages by a number and takes each one once.
//! - A close frame from the peer confirms nothing: it may have been sent before ours
//!   was read. So if anything is in doubt, one more ping goes ahead of a goodbye.
//! - `confirm_within` bounds the time until a pong is asked for. Without it, messages are
//!   confirmed by the pings that are due anyway.
//! - An answer without an id (a text) is taken for the answer to the oldest unanswered
//!   ping, which is right if the peer answers each ping exactly once.
//! - In listen-only there are no pings, and everything stays in doubt.
//!
//! [`keeping`](Driver::keeping) keeps copies of the backlog's messages until they are
//! confirmed: the `Down` gives them back, in order, and [`requeue`](Driver::requeue)
//! puts them at the head of the backlog. With message numbers on the server's side none
//! is lost and none is taken twice; `examples/orders.rs` does that. The limit of what
//! is kept is also how much goes out unconfirmed: where connections break after a few
//! kilobytes, a longer run would never be confirmed.
//!
//! # The rules
//!
//! Each rule has tests in `tests/driver.rs`, and `whatever_happens_the_contract_holds`
//! checks all of them in random stories, with an oracle that sees a driver from
//! outside.
//!
//! | rule | test |
//! | --- | --- |
//! | orders are carried out before anything is told | `nobody_hears_of_a_loss_while_the_old_socket_is_open`, `orders_are_carried_out_before_a_message_is_told` |
//! | notices that wait delay no ping | `notices_that_nobody_collects_delay_no_ping` |
//! | the order of what goes out | `the_ping_the_answer_what_was_sent_the_backlog_and_the_goodbye`, `what_is_sent_at_the_opening_goes_ahead_of_the_backlog` |
//! | the backlog waits until `Opened` was heard, and for `Healthy` | `nothing_of_the_backlog_before_the_opening_was_heard_and_the_next_asked_for`, `nor_before_the_login_which_itself_goes_as_answers_do` |
//! | a `Down` gives back what was not handed over; the backlog stays, or is dropped | `what_was_sent_and_not_handed_over_is_given_back_and_the_backlog_stays`, `the_backlog_goes_with_the_connection_where_it_does_not_outlive_it` |
//! | answers are not `Sent` | `answers_are_not_sent_messages` |
//! | what cannot be sent is given back, and never goes | `what_cannot_be_sent_is_given_back_with_the_reason`, `pings_and_answers_of_the_codec_that_it_may_not_send_do_not_go` |
//! | the limit covers what has not left our buffer | `the_limit_covers_what_has_not_left_our_buffer` |
//! | what can go goes at once | `a_hundred_messages_go_at_once`, `what_had_no_room_goes_once_there_is_some`, `what_is_behind_a_message_that_cannot_be_sent_goes_at_once`, `so_does_what_is_queued_while_a_message_is_handled_ahead_of_a_ping` |
//! | handed over, also where the write fails | `a_message_whose_write_fails_was_handed_over` |
//! | nothing goes between a ping and its leaving | `while_a_ping_has_not_left_nothing_more_is_handed_over`, `what_waits_for_a_ping_to_leave_goes_once_it_has` |
//! | a ping counts from when it left, or from bytes that did | `the_round_trip_counts_from_when_the_ping_has_left`, `our_own_backlog_is_not_the_peers_silence` |
//! | each `Opened` has one `Down` | `every_opening_has_one_loss_whatever_ended_it` |
//! | for how long it was deaf | `an_opening_says_for_how_long_the_application_was_deaf` |
//! | the cause: code and words, the error, the timeout | `a_loss_has_the_peers_code_and_words`, `a_dial_that_fails_is` |
//! | a code counts before a write error, that before a plain end | `a_close_code_counts_before_a_write_error_and_that_before_a_plain_end`, `a_write_error_is_told_at_once_where_nothing_else_is_there`, `a_write_error_that_is_said_once_is_told` |
//! | a dial that we ended has no `Down` | `a_dial_that_was_ended_is_not_told_as_lost` |
//! | an unheard dial is replaced by the next | `an_unheard_dial_is_replaced_by_the_next` |
//! | a ping is told when it is handed over | `a_ping_is_told_when_it_is_handed_over` |
//! | one message waits; then nothing is read or judged | `at_most_one_message_waits_then_reading_stops_and_no_verdict_is_spoken` |
//! | unheard losses are one | `losses_that_nobody_heard_of_are_one`, `of_connections_that_nobody_heard_of_a_message_comes_before_their_loss` |
//! | what comes with an end is no life | `what_comes_with_an_end_proves_nothing` |
//! | `send`, `healthy`, `give_up` act on what was heard of | `concerns_the_connection_that_it_heard_of`, `not_the_one_that_is_up_and_was_not_heard_of`, `there_is_nothing_to_send_on_while_it_is_down_or_after_a_stop` |
//! | a pong confirms what went before its ping | `a_pong_confirms_what_went_before_its_ping` |
//! | 32 pings are remembered | `beyond_32_pings_without_an_answer_none_is_recorded` |
//! | an answer without an id | `an_answer_without_an_id_is_to_the_oldest_ping`, `nor_to_any_while_the_awaited_one_is_queued` |
//! | a close frame confirms nothing; a last ping does | `a_close_frame_that_crosses_ours_confirms_nothing`, `a_last_ping_goes_ahead_of_the_goodbye_and_its_pong_confirms`, `not_in_listen_only_nor_before_the_login` |
//! | in doubt is what was handed over and not confirmed | `nothing_that_was_ever_sent_is_lost_whenever_it_is_cut`, `the_counts_say_what_happened` |
//! | keeping | `a_loss_gives_back_what_is_in_doubt_in_order_and_it_is_sent_again_first`, `at_the_limit_nothing_more_goes_out_until_some_are_confirmed`, `it_needs_confirm_within_and_keeps_it`, `at_a_stop_what_is_in_doubt_is_given_back` |
//! | stalls | `a_transport_that_takes_nothing_has_failed_although_the_peer_talks`, `a_transport_that_is_never_ready_has_failed_too`, `a_stall_is_found_in_its_time`, `time_away_counts_for_a_second_at_most`, `one_that_takes_bytes_has_not`, `without_a_count_of_bytes_progress_is_a_flush_or_a_message`, `one_that_takes_messages_has_not_where_bytes_are_not_counted`, `a_verdict_that_is_due_as_well_is_told` |
//! | bytes are life, those of the handshake not | `bytes_are_life_where_they_are_counted_and_those_of_the_handshake_are_not` |
//! | no verdict against unread data | `no_verdict_before_the_reactor_has_turned`, `who_was_away_reads_for_that_long_before_it_judges`, `who_was_not_listened_to_reads_for_that_long_again`, `a_close_that_was_answered_meanwhile_is_no_timeout` |
//! | nor for longer than `pong_timeout` | `a_flood_holds_a_verdict_for_a_pong_timeout_at_most`, `so_does_one_message_that_has_no_end`, `a_flood_does_not_hold_a_close` |
//! | 1000, 1001, and other words | `a_client_says_1000_an_accepted_socket_1001_and_both_what_they_are_told`, `who_reconnects_says_no_code_and_who_gives_up_the_one_given` |
//! | what was taken goes first, within `close_timeout` | `what_was_taken_goes_ahead_as_far_as_one_close_timeout_allows`, `without_a_connection_or_before_it_was_heard_the_backlog_is_given_back_at_once` |
//! | nothing goes after a goodbye, ours or the peer's | `nothing_is_written_after_the_goodbye`, `who_heard_the_peers_goodbye_says_nothing_more` |
//! | a second stop abandons | `a_second_stop_does_not_wait`, `a_second_stop_of_an_accepted_socket_before_it_was_read_abandons_it` |
//! | what was stopped is not revived | `who_was_told_to_stop_is_not_revived_before_the_end_is_told`, `once_the_end_was_told_it_may_begin_anew` |
//! | an accepted socket ends | `an_accepted_socket_that_is_to_reconnect_ends`, `an_accepted_socket_that_ends_before_it_was_read_is_over`, `an_accepted_socket_never_dials` |
//! | a machine that slept | `a_clock_that_ran_on_by_more_than_10_s_is_a_change_of_network` |

mod backlog;
mod codec;
mod connection;
mod doubt;
mod notice;
mod stall;
mod transport;
#[cfg(feature = "std")]
mod wishes;
mod writing;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use self::backlog::Backlog;
use self::connection::{Closing, Connection, Hearing};
use self::notice::Unheard;
use self::stall::Stall;
use crate::time::MILLISECOND;
use crate::{
    Action, Actions, CloseCode, CloseReason, Closed, Config, Epoch, Event, Goodbye, Heartbeat,
    Instant, Loss, Manner, PingId, Retry, SendError, State, meter, trace,
};

pub use self::codec::{Codec, Deciding, Dialect, Frame, Incoming, NoFrames, Plain};
pub use self::notice::{Cause, Down, Lost, Notice, Planned, Rejected};
pub use self::transport::{Bytes, End, Order, Read, Transport};
#[cfg(feature = "blocking")]
pub(crate) use self::wishes::UnderWay;

/// How many turns a run takes before it yields.
const TURNS: usize = 64;

const QUEUE_LIMIT: usize = 1 << 20;

/// If the system's clock ran on by more than this, the machine slept.
const SLEPT: Duration = Duration::from_secs(10);

/// What lies between a [`Heartbeat`] and a [`Transport`].
///
/// `D` knows the library's frames and `C` the application's pings; `E` is how the
/// transport fails, and `I` its instants.
pub struct Driver<D: Dialect, C: Codec<D::Message>, E, I> {
    heartbeat: Heartbeat<I>,
    /// The heartbeat's deadline.
    due: Option<I>,
    /// For how long a verdict has waited for what may lie unread.
    held: Stall<I>,
    dialect: D,
    codec: C,
    can_dial: bool,
    connection: Option<Connection<D::Message, E, I>>,
    orders: Orders<D::Message>,
    unheard: Unheard<C::Message, D::Message, E, I>,
    backlog: Backlog<D::Message>,
    goodbye: Option<Goodbye>,
    /// It was told to stop, and `Stopped` has yet to be reported.
    is_stopping: bool,
    /// What ends an accepted socket that has not been read yet.
    early: Option<Early>,
    /// What the peer hears of a connection that the application gives up.
    given_up: Option<CloseCode>,
    /// The network changed; the machine learns of it once nothing is unread.
    has_network_changed: bool,
    /// There may be more to write than the last round did.
    has_more: bool,
    /// What the last turn came to.
    turned: Turn<I>,
    alive: Option<I>,
    opened: Option<I>,
    /// What the clock and the system's clock showed at the last tick.
    looked: Option<(I, Duration)>,
    queue_limit: usize,
    stall_timeout: Option<Duration>,
    counts: Counts,
}

/// The outcome of [`Driver::run`].
#[derive(Debug)]
// As `Notice`.
#[repr(u64)]
pub enum Step<M, W, E, I> {
    /// A message for the application; run again.
    Message(M),
    /// A notice for the application; run again.
    Told(Notice<M, W, E, I>),
    /// Nothing is left to do: run again when the transport has something, when the
    /// application wants something, or at this instant, if there is one.
    Idle(Option<I>),
    /// There is more to do: run again once others have had their turn.
    Again,
    /// `Stopped` was reported; only [`Driver::reconnect_now`] begins anew.
    Over,
}

type StepOf<D, C, E, I> = Step<<C as Codec<Wire<D>>>::Message, Wire<D>, E, I>;
type NoticeOf<D, C, E, I> = Notice<<C as Codec<Wire<D>>>::Message, Wire<D>, E, I>;
type Wire<D> = <D as Dialect>::Message;

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Dials that began.
    pub dials: u64,
    /// Connections that were lost or ended.
    pub downs: u64,
    /// Pings that were handed over.
    pub pings: u64,
    /// Pings that were missed.
    pub missed: u64,
    /// Messages from the application that were handed over.
    pub handed_over: u64,
    /// Messages that a pong confirmed.
    pub confirmed: u64,
    /// Messages that were in doubt when their connection ended.
    pub in_doubt: u64,
}

/// What the transport has to do before anything is reported.
struct Orders<W> {
    finish: bool,
    drop: Option<Option<W>>,
    dial: Option<u32>,
}

impl<W> Orders<W> {
    const NONE: Self = Self {
        finish: false,
        drop: None,
        dial: None,
    };

    #[inline]
    const fn is_empty(&self) -> bool {
        self.drop.is_none() && !self.finish && self.dial.is_none()
    }

    /// A dial that has not begun goes with what it would have replaced.
    fn drop(&mut self, farewell: Option<W>) {
        let farewell = self.drop.take().unwrap_or(farewell);
        *self = Self {
            drop: Some(farewell),
            ..Self::NONE
        };
    }

    fn next(&mut self) -> Option<Order<W>> {
        if let Some(farewell) = self.drop.take() {
            return Some(Order::Drop(farewell));
        }
        if core::mem::take(&mut self.finish) {
            return Some(Order::Finish);
        }
        let attempt = self.dial.take()?;
        Some(Order::Dial { attempt })
    }
}

impl<D, C, E, I> Driver<D, C, E, I>
where
    D: Dialect,
    C: Codec<D::Message>,
    I: Instant,
{
    /// A client. It begins to dial when it first runs.
    ///
    /// The seed decides every jitter: take a different seed per client, or they act in
    /// lockstep.
    pub fn client(config: Config, seed: u64, dialect: D, codec: C) -> Self {
        Self::new(config, seed, dialect, codec, true)
    }

    /// A server's accepted socket: its transport reads [`Opened`](Read::Opened) first,
    /// or the end of a connection that was open, and is never ordered to dial. The first
    /// loss is final: reconnecting is off, whatever the settings say. On stop it closes
    /// with 1001, so that clients come back.
    pub fn accepted(config: Config, seed: u64, dialect: D, codec: C) -> Self {
        Self::new(without_reconnect(config), seed, dialect, codec, false)
    }

    fn new(config: Config, seed: u64, dialect: D, codec: C, can_dial: bool) -> Self {
        Self {
            heartbeat: Heartbeat::new(config, seed),
            due: None,
            held: Stall::none(),
            dialect,
            codec,
            can_dial,
            connection: None,
            orders: Orders::NONE,
            unheard: Unheard::new(),
            backlog: Backlog::new(),
            goodbye: None,
            is_stopping: false,
            early: None,
            given_up: None,
            has_network_changed: false,
            has_more: false,
            turned: Turn::Moved,
            alive: None,
            opened: None,
            looked: None,
            queue_limit: QUEUE_LIMIT,
            stall_timeout: None,
            counts: Counts::default(),
        }
    }

    /// Replaces the seed, before the first run.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.heartbeat = Heartbeat::new(*self.heartbeat.config(), seed);
        self
    }

    /// Keeps copies of the backlog's messages until a pong confirms them, up to this
    /// many bytes by [`Dialect::size`]; a [`Down`] gives them back. At the limit
    /// nothing more of the backlog goes out until some are confirmed; a longer message
    /// goes alone.
    ///
    /// # Errors
    ///
    /// Fails without `confirm_within` in the settings: nothing else bounds the time
    /// until a pong is requested.
    pub fn keeping(mut self, bytes: usize) -> Result<Self, KeepingError>
    where
        D::Message: Clone,
    {
        can_keep(self.heartbeat.config())?;
        self.backlog.keep(bytes);
        Ok(self)
    }

    /// How many bytes sent for a connection may wait, including those that the
    /// transport holds back; 1 MiB by default. A longer message is taken only if
    /// nothing waits.
    #[must_use]
    pub const fn with_queue_limit(mut self, bytes: usize) -> Self {
        self.queue_limit = bytes;
        self
    }

    /// For how long the transport may take no byte of what waits before it counts as
    /// failed, even if the peer goes on talking; by default the `pong_timeout` in
    /// force.
    ///
    /// A period in which the driver does not run counts as 1 s at most.
    #[must_use]
    pub const fn with_stall_timeout(mut self, timeout: Duration) -> Self {
        self.stall_timeout = Some(timeout);
        self
    }

    /// What knows the library's frames.
    pub const fn dialect(&self) -> &D {
        &self.dialect
    }

    /// The state machine.
    pub const fn heartbeat(&self) -> &Heartbeat<I> {
        &self.heartbeat
    }

    /// What happened so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// How many messages were handed over on the open connection and not yet confirmed
    /// by a pong.
    pub fn in_doubt(&self) -> u64 {
        let connection = self.connection.as_ref();
        connection.map_or(0, |connection| connection.doubt.in_doubt())
    }

    /// How many bytes of messages were taken from the application and have not left the
    /// transport's buffers, not counting the backlog.
    #[inline]
    pub fn waiting(&self) -> usize {
        let connection = self.connection.as_ref();
        connection.map_or(0, |connection| {
            connection
                .sends
                .bytes()
                .saturating_add(connection.held_back)
        })
    }

    /// The connection whose `Opened` was reported last, if it is still up.
    #[inline]
    pub fn heard_epoch(&self) -> Option<Epoch> {
        let connection = self.connection.as_ref()?;
        (connection.hearing != Hearing::No).then_some(connection.epoch)
    }

    /// Sends a message on the connection whose `Opened` was reported last, ahead of the
    /// backlog. If that connection goes down before the message is handed over, its
    /// [`Down`] gives it back.
    ///
    /// # Errors
    ///
    /// Fails, with the message, if that connection is down or a newer one is up, after
    /// a stop, if too much waits already, or if it can never be sent.
    pub fn send(&mut self, message: D::Message) -> Result<(), SendError<D::Message>> {
        let Some(connection) = &mut self.connection else {
            return Err(SendError::Down(message));
        };
        if connection.hearing == Hearing::No {
            return Err(SendError::Stale(message));
        }
        if connection.closing != Closing::No {
            return Err(SendError::Stopped(message));
        }
        let size = match connection.measure(self.dialect.size(&message)) {
            Ok(size) => size,
            Err(why) => return Err(SendError::Unsendable { message, why }),
        };
        let used = connection
            .sends
            .bytes()
            .saturating_add(connection.held_back);
        if used > 0 && used.saturating_add(size) > self.queue_limit {
            let limit = self.queue_limit;
            return Err(SendError::Full {
                message,
                size,
                used,
                limit,
            });
        }
        connection.sends.push(message, size);
        Ok(())
    }

    /// Puts these messages at the head of the backlog, in this order: for example, what
    /// a [`Down`] gave back. Never refused.
    pub fn requeue(&mut self, messages: impl IntoIterator<Item = D::Message>) {
        self.backlog.put_back(messages);
        self.has_more = true;
    }

    /// Stops: what was sent and the backlog go first, then a close handshake, all of it
    /// within `close_timeout`. A second call does not wait. A client closes with 1000,
    /// a server's socket with 1001.
    pub fn stop(&mut self, now: I) {
        self.say_goodbye(None, now);
    }

    /// The same with another code and other words.
    pub fn stop_with(&mut self, goodbye: Goodbye, now: I) {
        self.say_goodbye(Some(goodbye), now);
    }

    /// Whether another stop would not wait any more.
    #[cfg(all(feature = "std", any(feature = "async", feature = "blocking")))]
    pub(crate) const fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    fn say_goodbye(&mut self, goodbye: Option<Goodbye>, now: I) {
        self.goodbye = goodbye;
        self.is_stopping |= self.heartbeat.state() != State::Stopped || self.unheard.has_end();
        if self.is_yet_to_open() {
            self.early = match self.early {
                Some(Early::Stop | Early::Abandon) => Some(Early::Abandon),
                Some(Early::Reconnect) | None => Some(Early::Stop),
            };
        } else {
            self.step(Event::Stop, None, now);
        }
    }

    /// Begins a new connection, whatever the state, but no sooner than 1 s after the
    /// last dial began. A dial younger than 5 s is that new connection. A server's
    /// socket ends.
    ///
    /// A driver that was told to [stop](Self::stop) is not revived: until `Stopped` has
    /// been reported, this does nothing. After that, it begins anew.
    pub fn reconnect_now(&mut self, now: I) {
        if self.is_stopping {
            return;
        }
        if self.can_dial {
            self.unheard.forget_end();
            self.step(Event::ReconnectNow, None, now);
        } else if self.is_yet_to_open() {
            self.early = Some(Early::Reconnect);
        } else if self.heartbeat.state() == State::Open {
            let closed = Closed::default().retry(Retry::Stop);
            self.step(Event::GiveUp(closed), Some(Cause::Reconnected), now);
        }
    }

    /// Whether there is an accepted socket, whose peer is to learn how it ends.
    fn is_yet_to_open(&self) -> bool {
        !self.can_dial && self.heartbeat.state() == State::Idle
    }

    /// Reports that the network path may have changed. This takes effect once
    /// everything that has arrived has been read.
    pub const fn network_changed(&mut self) {
        self.has_network_changed = true;
    }

    /// Reports that the application has what it connected for, on this connection: ends
    /// the wait for `healthy_within`, and proves the connection as received data does.
    /// Returns whether that connection is the one that is up.
    pub fn healthy(&mut self, epoch: Epoch, now: I) -> bool {
        let is_up = self.heard_epoch() == Some(epoch);
        if is_up {
            if let Some(connection) = &mut self.connection {
                connection.awaits_login = false;
            }
            self.step(Event::Healthy, None, now);
        }
        is_up
    }

    /// Gives this connection up, as if the peer had closed it with this code: because
    /// the login was refused, for example. The peer is sent the code, if it may be sent
    /// and the transport takes it at once. Returns whether that connection is the one
    /// that is up.
    pub fn give_up(&mut self, epoch: Epoch, mut closed: Closed, now: I) -> bool {
        let is_up = self.heard_epoch() == Some(epoch) && self.heartbeat.state() == State::Open;
        if is_up {
            let loss = Loss::Closed(closed.code);
            closed.retry = closed.retry.or_else(|| self.codec.retry(loss));
            self.given_up = closed.code.filter(|&code| Goodbye::new(code, "").is_ok());
            self.step(Event::GiveUp(closed), None, now);
        }
        is_up
    }

    /// Changes the settings while running.
    ///
    /// # Errors
    ///
    /// Fails if copies are [kept](Self::keeping) and the new settings have no
    /// `confirm_within`; nothing is changed.
    pub fn reconfigure(&mut self, config: Config, now: I) -> Result<(), KeepingError> {
        self.check()(&config)?;
        let config = if self.can_dial {
            config
        } else {
            without_reconnect(config)
        };
        if let Some(connection) = &mut self.connection {
            connection.awaits_login &= config.healthy_within().is_some();
            connection.ping = connection.ping.take().filter(|_| !config.listen_only());
        }
        let actions = self.heartbeat.reconfigure(config, now);
        self.act(actions, None, now);
        Ok(())
    }

    /// What says whether [`reconfigure`](Self::reconfigure) takes settings.
    pub(crate) fn check(&self) -> fn(&Config) -> Result<(), KeepingError> {
        if self.backlog.keeps() {
            can_keep
        } else {
            |_| Ok(())
        }
    }

    /// Does what there is to do: orders, notices, reads, ticks, writes.
    ///
    /// Running again after a notice means that the application has dealt with it: after
    /// [`Opened`](Notice::Opened) the backlog may go.
    pub fn run<T>(&mut self, transport: &mut T) -> StepOf<D, C, E, I>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        match self.begin(transport) {
            Some(message) => Step::Message(message),
            None => self.run_on(transport),
        }
    }

    /// The first turn of a run: most find a message, and nothing else to do. An adapter
    /// that begins by this, and has its [`run_on`](Self::run_on) in a function of its own,
    /// lets a message go to the application in registers.
    #[inline(always)]
    pub(crate) fn begin<T>(&mut self, transport: &mut T) -> Option<C::Message>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        let hearing = self.connection.as_ref().map(|open| open.hearing);
        if hearing == Some(Hearing::Dealt) && self.is_done() {
            self.turn::<T, true>(transport)
        } else {
            None
        }
    }

    /// The rest of a run.
    #[inline(never)]
    pub(crate) fn run_on<T>(&mut self, transport: &mut T) -> StepOf<D, C, E, I>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        let step = self.turns(transport);
        self.publish(transport);
        step
    }

    #[inline]
    fn turns<T>(&mut self, transport: &mut T) -> StepOf<D, C, E, I>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        if let Some(connection) = &mut self.connection {
            if connection.hearing == Hearing::Heard {
                connection.hearing = Hearing::Dealt;
            }
        }
        for _ in 0..TURNS {
            match core::mem::replace(&mut self.turned, Turn::Moved) {
                Turn::Idle(due) if self.is_done() => return Step::Idle(due),
                Turn::Over if self.is_done() => return Step::Over,
                Turn::Moved | Turn::Idle(_) | Turn::Over => {}
            }
            if !self.is_done() {
                self.carry_out(transport);
                if !self.unheard.is_empty() {
                    return self.tell(transport);
                }
            }
            if !self.reads() {
                self.turned = self.turn_without_read(transport);
            } else if let Some(message) = self.turn::<T, true>(transport) {
                return Step::Message(message);
            }
        }
        self.carry_out(transport);
        Step::Again
    }

    /// One read, a tick, and some writes. Returns the application's message, if it
    /// listens; the outcome of the turn is in `turned`: in one result they would share
    /// memory, and the message would be moved in odd pieces.
    #[inline(always)]
    fn turn<T, const LISTENS: bool>(&mut self, transport: &mut T) -> Option<C::Message>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        self.turned = match transport.read() {
            Read::Message(message) => {
                let now = transport.now();
                if let Some(message) = self.hear(message, now, transport) {
                    if LISTENS {
                        self.go_on(transport, now, Unread::Perhaps);
                        self.carry_out(transport);
                        self.publish(transport);
                        return Some(message);
                    }
                    self.unheard.push(Notice::Message(message));
                }
                self.go_on(transport, now, Unread::Perhaps)
            }
            Read::Nothing(as_of) => self.found_nothing(transport, as_of),
            Read::Opened => self.found_open(transport),
            Read::End(end) => self.found_end(*end, transport),
        };
        None
    }

    /// The same for an adapter that keeps running while nobody asks for notices: they
    /// wait, and after one message nothing more is read. It is over once they have been
    /// reported.
    pub fn run_unheard<T>(&mut self, transport: &mut T) -> StepOf<D, C, E, I>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        let step = self.turns_unheard(transport);
        self.publish(transport);
        step
    }

    fn turns_unheard<T>(&mut self, transport: &mut T) -> StepOf<D, C, E, I>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        for _ in 0..TURNS {
            self.carry_out(transport);
            if !self.reads() {
                self.turned = self.turn_without_read(transport);
            } else if self.connection.is_some() && self.unheard.has_message() {
                let now = transport.now();
                self.turned = self.go_on(transport, now, Unread::Ours);
            } else {
                self.turn::<T, false>(transport);
            }
            match core::mem::replace(&mut self.turned, Turn::Moved) {
                Turn::Idle(due) if self.orders.is_empty() => return Step::Idle(due),
                Turn::Over if self.orders.is_empty() && self.unheard.is_empty() => {
                    return Step::Over;
                }
                Turn::Over if self.orders.is_empty() => return Step::Idle(None),
                Turn::Moved | Turn::Idle(_) | Turn::Over => {}
            }
        }
        self.carry_out(transport);
        Step::Again
    }

    /// Whether nothing is left to carry out or report.
    #[inline]
    fn is_done(&self) -> bool {
        self.orders.is_empty() && self.unheard.is_empty()
    }

    /// Whether a notice waits to be reported.
    pub fn has_notice(&self) -> bool {
        !self.unheard.is_empty()
    }

    #[inline]
    fn carry_out<T>(&mut self, transport: &mut T)
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        if !self.orders.is_empty() {
            self.carry_all_out(transport);
        }
    }

    #[inline(never)]
    fn carry_all_out<T>(&mut self, transport: &mut T)
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        while let Some(order) = self.orders.next() {
            if let Order::Dial { attempt } = order {
                self.counts.dials += 1;
                meter::dial();
                self.unheard.push(Notice::Connecting { attempt });
            }
            transport.carry_out(order);
        }
    }

    #[inline]
    fn publish<T>(&self, transport: &mut T)
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        let (state, epoch) = (self.heartbeat.state(), self.heard_epoch());
        transport.publish(state, epoch, self.waiting());
    }

    /// Reports the next notice; others that wait delay no ping.
    #[inline(never)]
    fn tell<T>(&mut self, transport: &mut T) -> StepOf<D, C, E, I>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        let now = transport.now();
        if self.due.is_some_and(|due| due <= now) && self.verdict(now).is_none() {
            self.tick(now, transport);
        }
        self.has_more |= self.write(transport, now);
        self.carry_out(transport);
        match self.unheard.pop() {
            Some(mut notice) => {
                self.heard(&mut notice, transport);
                Step::Told(notice)
            }
            None => Step::Again,
        }
    }

    fn heard<T>(&mut self, notice: &mut NoticeOf<D, C, E, I>, transport: &mut T)
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        match notice {
            Notice::Opened { epoch, .. } => {
                if let Some(connection) = &mut self.connection {
                    if connection.epoch == *epoch {
                        connection.hearing = Hearing::Heard;
                    }
                }
            }
            Notice::Down(down) if down.lost == Lost::Connection => {
                if let Some(dropped) = transport.dropped() {
                    let sent = down.unsent.len();
                    // What was asked for and had to wait came first.
                    down.unsent.extend(self.backlog.take_all());
                    down.unsent.extend(dropped);
                    meter::unsent(down.unsent.len() - sent);
                }
            }
            // What is behind it in the backlog has waited for this.
            Notice::Rejected(_) => self.has_more = true,
            Notice::Stopped { unsent, .. } => {
                self.is_stopping = false;
                *unsent = self.backlog.take_all();
                unsent.extend(transport.reclaim());
                meter::unsent(unsent.len());
            }
            _ => {}
        }
    }

    /// Whether there is a dial or a connection that may have something to read.
    #[inline]
    fn reads(&self) -> bool {
        self.connection.is_some()
            || !matches!(self.heartbeat.state(), State::Stopped | State::Idle)
            || (!self.can_dial && self.heartbeat.state() == State::Idle)
    }

    fn turn_without_read<T>(&mut self, transport: &mut T) -> Turn<I>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        if self.heartbeat.state() == State::Stopped {
            return Turn::Over;
        }
        let now = transport.now();
        self.step(Event::Start, None, now);
        Turn::Moved
    }

    #[inline(never)]
    fn found_open<T>(&mut self, transport: &mut T) -> Turn<I>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        let now = transport.now();
        self.open(transport.bytes(), transport.limit(), now);
        Turn::Moved
    }

    #[inline(never)]
    fn found_end<T>(&mut self, end: End<E>, transport: &mut T) -> Turn<I>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        let now = transport.now();
        // A dial that fails at its deadline was too slow.
        if self.connection.is_none() && self.heartbeat.verdict(now).is_some() {
            self.tick(now, transport);
        }
        // A server's socket was open before it came here.
        if self.is_yet_to_open() {
            self.open(Bytes::default(), None, now);
        }
        // Unless that was its end.
        if self.orders.drop.is_none() {
            self.ended(end, now);
        }
        Turn::Moved
    }

    #[inline(never)]
    fn found_nothing<T>(&mut self, transport: &mut T, as_of: I) -> Turn<I>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        let now = transport.now();
        if let Some(connection) = &mut self.connection {
            // The bytes of a message that is not whole yet are life.
            if connection.has_read(transport.bytes()) {
                self.heartbeat.handle(Event::Received, now).for_each(drop);
            }
            let is_broken = |&(_, found): &(E, I)| found <= as_of;
            if connection.broken.as_ref().is_some_and(is_broken) {
                if let Some((error, _)) = connection.broken.take() {
                    self.fail(Cause::Failed(error), now);
                    return Turn::Moved;
                }
            }
        }
        if core::mem::take(&mut self.has_network_changed) {
            self.step(Event::NetworkChanged, None, now);
        }
        self.go_on(transport, now, Unread::NothingAsOf(as_of))
    }

    /// Ticks and writes.
    #[inline(always)]
    fn go_on<T>(&mut self, transport: &mut T, now: I, unread: Unread<I>) -> Turn<I>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        let mut has_moved = !matches!(unread, Unread::NothingAsOf(_) | Unread::Ours);
        if self.due.is_some_and(|due| due <= now) {
            has_moved |= self.judge(transport, now, unread);
            if self.orders.drop.is_some() {
                return Turn::Moved;
            }
        } else if self.held.is_on() {
            self.held.end();
        }
        self.has_more = self.write(transport, now);
        if has_moved || self.has_more {
            return Turn::Moved;
        }
        Turn::Idle(self.next_look(now))
    }

    /// Writes what waits. Returns whether nothing is left to do but to read, and until
    /// when: for an adapter that can wait inside a read, and so avoids one that finds
    /// nothing.
    #[inline]
    pub fn rest<T>(&mut self, transport: &mut T) -> Option<Option<I>>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        let connection = self.connection.as_ref()?;
        if !self.orders.is_empty()
            || !self.unheard.is_empty()
            || self.has_network_changed
            || connection.hearing == Hearing::Heard
        {
            return None;
        }
        if self.has_more || connection.has_own() {
            let now = transport.now();
            self.has_more = self.write(transport, now);
        }
        // While a verdict is held, the transport looks again and again.
        let is_at_rest = !self.has_more
            && !self.held.is_on()
            && self.orders.is_empty()
            && self.unheard.is_empty()
            && self.connection.as_ref().is_some_and(Connection::is_at_rest);
        is_at_rest.then_some(self.due)
    }

    /// When to run again at the latest.
    fn next_look(&self, now: I) -> Option<I> {
        // A verdict that is held does not ask again by itself: the transport looks again.
        let due = self.due.filter(|&due| due > now);
        let held = self.held.is_on().then(|| now.saturating_add(MILLISECOND));
        let connection = self.connection.as_ref();
        let stall = connection.and_then(|connection| connection.stall.due(self.stall_timeout()));
        // The peer's close code may lie unread.
        let broken = connection.and_then(|connection| connection.broken.as_ref());
        let reads_on = broken.is_some() && !self.unheard.has_message();
        let soon = reads_on.then(|| now.saturating_add(MILLISECOND));
        [due, held, stall, soon].into_iter().flatten().min()
    }

    fn stall_timeout(&self) -> Duration {
        let usual = self.heartbeat.config().pong_timeout();
        self.stall_timeout.unwrap_or(usual)
    }

    /// Ticks, unless that would convict the peer while its answer may lie unread: for
    /// at most as long as [`verdict`](Self::verdict) says, so that an endless message does
    /// not count as life. Returns whether it ticked.
    #[inline(never)]
    fn judge<T>(&mut self, transport: &mut T, now: I, unread: Unread<I>) -> bool
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        if let Some((due, longest)) = self.verdict(now) {
            match unread {
                Unread::NothingAsOf(as_of) if as_of >= due => {}
                Unread::Perhaps | Unread::NothingAsOf(_) => {
                    self.held.go_on(false, now);
                    if !self.held.has_lasted(longest) {
                        return false;
                    }
                }
                // A stop ends, whether anybody collects or not.
                Unread::Ours if self.heartbeat.state() == State::Closing => {}
                Unread::Ours => {
                    self.held.end();
                    return false;
                }
            }
        }
        self.held.end();
        self.tick(now, transport);
        true
    }

    /// When the verdict was due that a tick would reach now, and for how long it may be
    /// held. An unanswered goodbye is one if the tick is late: then the answer may have
    /// come while this process was away.
    fn verdict(&self, now: I) -> Option<(I, Duration)> {
        let config = self.heartbeat.config();
        if self.heartbeat.state() != State::Closing {
            return Some((self.heartbeat.verdict(now)?, config.pong_timeout()));
        }
        let tolerance = config.late_tolerance();
        let is_late = |due: &I| now.saturating_duration_since(*due) > tolerance;
        let due = self.due.filter(is_late)?;
        Some((due, tolerance.min(config.close_timeout())))
    }

    fn tick<T>(&mut self, now: I, transport: &mut T)
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        // Told once all that came has been read.
        self.has_network_changed |= self.has_slept(transport.system_time(), now);
        let missed = self.heartbeat.missed();
        self.step(Event::Tick, None, now);
        self.has_missed(self.heartbeat.missed().saturating_sub(missed));
    }

    fn has_missed(&mut self, pings: u32) {
        self.counts.missed += u64::from(pings);
        meter::missed(pings);
    }

    /// Whether the system's clock ran on while the other stood still.
    fn has_slept(&mut self, system_time: Option<Duration>, now: I) -> bool {
        let Some(system_time) = system_time else {
            return false;
        };
        let looked = self.looked.replace((now, system_time));
        looked.is_some_and(|(then, before)| {
            let awake = now.saturating_duration_since(then);
            system_time.saturating_sub(before) > awake.saturating_add(SLEPT)
        })
    }

    /// What the application gets of a message, if it is the application's.
    #[inline(always)]
    fn hear<T>(&mut self, message: D::Message, now: I, transport: &mut T) -> Option<C::Message>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        if let Some(connection) = &mut self.connection {
            connection.has_read(transport.bytes());
        }
        match self.dialect.frame(&message) {
            Frame::Data => match self.codec.read(message) {
                Incoming::Message(message) => {
                    self.heartbeat.handle(Event::Message, now).for_each(drop);
                    return Some(message);
                }
                Incoming::Pong(id) => self.hear_pong(id, now),
                Incoming::AnyPong => self.hear_any_pong(now),
                Incoming::Ping(answer) => {
                    self.hear_control(now);
                    if let Some(connection) = &mut self.connection {
                        if connection.measure(self.dialect.size(&answer)).is_ok() {
                            connection.answer = Some(answer);
                        }
                    }
                }
                Incoming::Closed(closed, words) => self.hear_close(closed, words, now),
                Incoming::Control => self.hear_control(now),
            },
            Frame::Pong(id) => self.hear_pong(id, now),
            Frame::Close(closed, words) => self.hear_close(closed, words, now),
            Frame::Control => self.hear_control(now),
        }
        None
    }

    /// The library may have an answer of its own to send.
    fn hear_control(&mut self, now: I) {
        self.heartbeat.handle(Event::Received, now).for_each(drop);
        if let Some(connection) = &mut self.connection {
            connection.needs_flush = true;
        }
    }

    fn hear_pong(&mut self, id: PingId, now: I) {
        if let Some(connection) = &mut self.connection {
            self.counts.confirmed += connection.doubt.pong(id);
        }
        self.answered(id, now);
    }

    /// An answer without an id is to the oldest unanswered ping, and to none while the
    /// last ping has not left.
    fn hear_any_pong(&mut self, now: I) {
        let answered = match &mut self.connection {
            Some(connection) if !connection.is_ping_held_back() => {
                let id = connection.doubt.oldest();
                self.counts.confirmed += connection.doubt.any_pong();
                id
            }
            _ => None,
        };
        match answered {
            Some(id) => self.answered(id, now),
            None => self.heartbeat.handle(Event::Received, now).for_each(drop),
        }
    }

    #[inline(never)]
    fn answered(&mut self, id: PingId, now: I) {
        let is_awaited = self.heartbeat.awaited_ping() == Some(id);
        self.heartbeat.handle(Event::Pong(id), now).for_each(drop);
        let round_trip = self.heartbeat.round_trip().filter(|_| is_awaited);
        if let Some(round_trip) = round_trip.map(|measured| measured.last()) {
            trace::pong(self.heartbeat.epoch(), id, round_trip);
            meter::pong(round_trip);
            self.unheard.push(Notice::Pong { id, round_trip });
        }
    }

    /// The peer's close frame. While open it is the end; while closing it answers ours,
    /// or crosses it, and the end of the transport comes next.
    #[inline(never)]
    fn hear_close(&mut self, closed: Closed, words: String, now: I) {
        if self.heartbeat.state() == State::Open {
            self.ended(End::Closed(closed, words), now);
        } else if let Some(connection) = &mut self.connection {
            // The library answers it, and takes nothing more.
            connection.needs_flush = true;
            connection.heard.get_or_insert((closed, words));
            if connection.closing != Closing::Finished {
                connection.closing = Closing::Said;
            }
        }
    }

    fn open(&mut self, bytes: Bytes, limit: Option<usize>, now: I) {
        self.step(Event::Opened, None, now);
        let epoch = self.heartbeat.epoch();
        let awaits_login = self.heartbeat.config().healthy_within().is_some();
        self.connection = Some(Connection::new(epoch, awaits_login, bytes, limit));
        let since = self.alive.or(self.opened);
        let deaf = since.map(|since| now.saturating_duration_since(since));
        self.opened = Some(now);
        meter::opened(deaf);
        self.unheard.push(Notice::Opened { epoch, deaf });
        match self.early.take() {
            Some(Early::Reconnect) => self.reconnect_now(now),
            Some(Early::Stop) => self.step(Event::Stop, None, now),
            Some(Early::Abandon) => {
                self.step(Event::Stop, None, now);
                self.step(Event::Stop, None, now);
            }
            None => {}
        }
    }

    /// The transport says that the dial or the connection is over.
    #[inline(never)]
    fn ended(&mut self, end: End<E>, now: I) {
        let heard = self.connection.as_mut();
        if let Some((closed, words)) = heard.and_then(|connection| connection.heard.take()) {
            // The end of a close handshake, which is nothing to decide about.
            let cause = Cause::closed(closed, words);
            return self.step(Event::Closed(closed), Some(cause), now);
        }
        let broken = self.connection.as_mut();
        let broken = broken.and_then(|connection| connection.broken.take());
        let (mut closed, words) = match (end, broken) {
            (End::Closed(closed, words), _) => (closed, words),
            // What broke the writes came first.
            (_, Some((error, _))) => return self.fail(Cause::Failed(error), now),
            (End::Plain, None) => (Closed::default(), String::new()),
            (End::Failed(error), None) => return self.fail(Cause::Failed(error), now),
            // Only a dial can be refused.
            (End::Refused(_, error), None) if self.connection.is_some() => {
                return self.fail(Cause::Failed(error), now);
            }
            (End::FailedAs(error, mut closed), None) => {
                let loss = Loss::Closed(closed.code);
                closed.retry = closed.retry.or_else(|| self.codec.retry(loss));
                let cause = Cause::Failed(error);
                return self.step(Event::Closed(closed), Some(cause), now);
            }
            (End::Refused(mut refused, error), None) => {
                let loss = Loss::Refused(refused.status);
                refused.retry = refused.retry.or_else(|| self.codec.retry(loss));
                let status = refused.status;
                let cause = Cause::Refused { status, error };
                return self.step(Event::Refused(refused), Some(cause), now);
            }
        };
        let loss = Loss::Closed(closed.code);
        closed.retry = closed.retry.or_else(|| self.codec.retry(loss));
        let cause = Cause::closed(closed, words);
        self.step(Event::Closed(closed), Some(cause), now);
    }

    fn fail(&mut self, cause: Cause<E>, now: I) {
        let retry = self.codec.retry(Loss::Failed);
        self.step(Event::Error(retry), Some(cause), now);
    }

    /// `ended` says how a connection or a dial came to its end, where that is what
    /// happened.
    #[inline(never)]
    fn step(&mut self, event: Event, ended: Option<Cause<E>>, now: I) {
        let before = trace::Before::of(&self.heartbeat);
        let received = self.heartbeat.last_received();
        let actions = self.heartbeat.handle(event, now);
        if self.connection.is_some() && self.heartbeat.state() != State::Open {
            self.alive = received.or(self.alive);
        }
        let reason = ended.as_ref().map(Cause::without_error);
        let reason = reason.as_ref().map(|reason| reason as &dyn fmt::Display);
        before.changed(&self.heartbeat, &actions, reason);
        self.act(actions, ended, now);
    }

    fn act(&mut self, actions: Actions<I>, ended: Option<Cause<E>>, now: I) {
        let Actions { close, next, .. } = actions;
        let due = self.heartbeat.deadline();
        if due != core::mem::replace(&mut self.due, due) {
            self.held.end();
        }
        self.has_more = true;
        let planned = match next {
            Some(Action::ScheduleReconnect { at, attempt }) => Some(Planned { at, attempt }),
            _ => None,
        };
        let mut is_told = false;
        if close == Some(CloseReason::Stop) {
            if let Some(connection) = &mut self.connection {
                connection.closing = Closing::Begun;
            }
        } else if close.is_some() || ended.is_some() {
            let cause = match (close, ended) {
                (_, Some(cause)) => cause,
                (Some(reason), None) => Cause::of(reason),
                (None, None) => Cause::Stopped,
            };
            is_told = self.lose(close, cause, planned);
        }
        match next {
            Some(Action::Connect) => self.orders.dial = Some(self.heartbeat.attempt()),
            Some(Action::SendPing(id)) => self.ping(id, now),
            Some(Action::Stopped(reason)) => {
                let unsent = Vec::new();
                self.unheard.push(Notice::Stopped { reason, unsent });
            }
            _ => {}
        }
        if let Some(planned) = planned.filter(|_| !is_told) {
            self.unheard.push(Notice::Rescheduled(planned));
        }
    }

    /// The connection or the dial is over. Whether that is told.
    fn lose(
        &mut self,
        close: Option<CloseReason>,
        cause: Cause<E>,
        retry: Option<Planned<I>>,
    ) -> bool {
        let farewell = close.filter(|reason| reason.manner() == Manner::Farewell);
        let farewell = farewell.and_then(|reason| self.farewell(reason, &cause));
        if close == Some(CloseReason::PongTimeout) {
            self.has_missed(1);
        }
        self.orders.drop(farewell);
        let Some(connection) = self.connection.take() else {
            // A dial that was not lost but ended by us is not told.
            let is_ours = matches!(cause, Cause::Stopped | Cause::Reconnected);
            if !is_ours {
                meter::dial_lost(&cause);
                self.unheard.push(Notice::Down(Box::new(Down {
                    lost: Lost::Dial,
                    cause,
                    retry,
                    unsent: Vec::new(),
                    in_doubt: 0,
                    kept: Vec::new(),
                })));
            }
            return !is_ours;
        };
        let in_doubt = connection.doubt.in_doubt();
        self.counts.downs += 1;
        self.counts.in_doubt += in_doubt;
        // Whatever ended a close handshake, it was the application that stopped.
        let cause = match cause {
            Cause::TimedOut(_) => cause,
            _ if connection.closing != Closing::No => Cause::Stopped,
            _ => cause,
        };
        let unsent = connection.sends.into_messages();
        meter::connection_lost(&cause, unsent.len(), in_doubt);
        self.unheard.push(Notice::Down(Box::new(Down {
            lost: Lost::Connection,
            cause,
            retry,
            unsent,
            in_doubt,
            kept: connection.doubt.into_kept(),
        })));
        true
    }

    fn farewell(&mut self, why: CloseReason, cause: &Cause<E>) -> Option<D::Message> {
        let code = match (why, cause) {
            // 1000 would end a session that the next connection is to resume.
            (CloseReason::Reconnect, _) | (_, Cause::Reconnected) => None,
            (CloseReason::MessageTimeout | CloseReason::LoginTimeout, _) => {
                Some(CloseCode::POLICY_VIOLATION)
            }
            _ => Some(self.given_up.unwrap_or(CloseCode::NORMAL)),
        };
        self.dialect.goodbye(why, code, "")
    }

    /// The codec's ping, if it is data and not too long, or the protocol's.
    fn make_ping(&mut self, id: PingId) -> Option<D::Message> {
        let connection = self.connection.as_ref()?;
        let own = self.codec.ping(id);
        let own = own.filter(|own| connection.measure(self.dialect.size(own)).is_ok());
        own.or_else(|| self.dialect.ping(id))
    }

    fn ping(&mut self, id: PingId, now: I) {
        trace::ping(self.heartbeat.epoch(), id);
        match (self.make_ping(id), &mut self.connection) {
            (Some(message), Some(connection)) => connection.ping = Some((id, message)),
            (Some(_), None) => {}
            (None, _) => {
                let event = Event::Error(Some(Retry::Stop));
                self.step(event, Some(Cause::NoPing), now);
            }
        }
    }
}

/// What ends an accepted socket as soon as it is up.
#[derive(Clone, Copy)]
enum Early {
    Reconnect,
    Stop,
    Abandon,
}

/// The outcome of a turn that gave out no message.
#[derive(Clone, Copy)]
enum Turn<I> {
    Moved,
    Idle(Option<I>),
    Over,
}

/// What may lie unread.
#[derive(Clone, Copy)]
enum Unread<I> {
    /// Perhaps something.
    Perhaps,
    /// What the application does not collect.
    Ours,
    NothingAsOf(I),
}

/// Copies can be kept only where `confirm_within` bounds the time until they are
/// confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("copies can only be kept with `confirm_within`")]
#[non_exhaustive]
pub struct KeepingError;

fn can_keep(config: &Config) -> Result<(), KeepingError> {
    config.confirm_within().map(drop).ok_or(KeepingError)
}

fn without_reconnect(config: Config) -> Config {
    let settings = config.to_builder().reconnect(false);
    settings.build().unwrap_or(config)
}

impl<D: Dialect, C: Codec<D::Message>, E, I: Instant + fmt::Debug> fmt::Debug
    for Driver<D, C, E, I>
{
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Driver")
            .field("heartbeat", &self.heartbeat)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}
