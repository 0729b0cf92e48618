use alloc::collections::VecDeque;

/// First in, first out; allocates only for a third item.
pub(super) struct Queue<T> {
    first: Option<T>,
    second: Option<T>,
    rest: VecDeque<T>,
}

impl<T> Queue<T> {
    pub(super) const fn new() -> Self {
        Self {
            first: None,
            second: None,
            rest: VecDeque::new(),
        }
    }

    pub(super) fn push(&mut self, item: T) {
        if self.first.is_none() {
            self.first = Some(item);
        } else if self.second.is_none() {
            self.second = Some(item);
        } else {
            self.rest.push_back(item);
        }
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let item = self.first.take()?;
        self.first = self.second.take();
        if self.first.is_some() && !self.rest.is_empty() {
            self.second = self.rest.pop_front();
        }
        Some(item)
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order() {
        let mut queue = Queue::new();
        let mut next = 0..;
        let mut expected = 0..;
        for pushed in [1, 2, 3, 5, 0, 4] {
            (&mut next).take(pushed).for_each(|item| queue.push(item));
            for _ in 0..pushed / 2 {
                assert_eq!(queue.pop(), expected.next());
            }
        }
        while let Some(item) = queue.pop() {
            assert_eq!(Some(item), expected.next());
        }
        assert_eq!(expected.next(), next.next());
        assert!(queue.is_empty());
    }
}
