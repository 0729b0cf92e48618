use core::cell::{Cell, RefCell};
use core::task::{Context, Poll, Waker};

/// What an event handler tells a task: that something was.
#[derive(Default)]
pub(super) struct Bell {
    rings: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Bell {
    pub(super) fn ring(&self) {
        self.rings.set(true);
        // An executor may poll at once.
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether it was rung since it was last asked. In either case it wakes the task when
    /// it next is.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        self.wake_by(context.waker());
        if self.rings.take() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn wake_by(&self, waker: &Waker) {
        let is_known = |own: &Waker| own.will_wake(waker);
        if !self.waker.borrow().as_ref().is_some_and(is_known) {
            // The one before is dropped after the borrow.
            let _before = self.waker.replace(Some(waker.clone()));
        }
    }
}
