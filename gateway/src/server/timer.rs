//! The timer of one client's connection: how long it waits for the head of a request.
//!
//! hyper asks for a new one before each head and drops it after. In the runtime's wheel, one that is set enters under a lock
//! and one that is dropped leaves under it, but one that is only put off stays where it is: so a connection keeps its own
//! and puts it off.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt;
use tokio::time::Sleep;

/// Where a connection keeps its timer while nothing waits for it.
#[derive(Clone, Debug, Default)]
pub struct Timer(Arc<Mutex<Option<Pin<Box<Sleep>>>>>);

impl Timer {
    /// Keeps none while an answer streams: it takes room that ten thousand streams share.
    pub fn put_away(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let sleep = match kept {
            Some(mut sleep) => {
                sleep.as_mut().reset(deadline.into());
                sleep
            }
            None => Box::pin(tokio::time::sleep_until(deadline.into())),
        };
        Box::pin(Lent { sleep: Some(sleep), home: self.clone() })
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Lent>() {
            Some(mut lent) => lent.reset(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// A timer that somebody waits for. It goes home when it is dropped.
#[derive(Debug)]
struct Lent {
    sleep: Option<Pin<Box<Sleep>>>,
    home: Timer,
}

impl Lent {
    fn reset(&mut self, deadline: Instant) {
        if let Some(sleep) = &mut self.sleep {
            sleep.as_mut().reset(deadline.into());
        }
    }
}

impl Future for Lent {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.sleep.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(cx))
    }
}

impl rt::Sleep for Lent {}

impl Drop for Lent {
    fn drop(&mut self) {
        *self.home.0.lock().unwrap_or_else(PoisonError::into_inner) = self.sleep.take();
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::Timer as _;

    use super::*;

    #[tokio::test]
    async fn one_timer_is_put_off_again_and_again() {
        let timer = Timer::default();
        let later = |millis| Instant::now() + Duration::from_millis(millis);
        for end in [later(20), later(1), later(60), later(30)] {
            timer.sleep_until(end).await;
            assert!(Instant::now() >= end);
            assert!(timer.0.lock().unwrap().is_some(), "it came home");
        }
        timer.put_away();
        assert!(timer.0.lock().unwrap().is_none());
        // Given up before its time, it is good for the next.
        drop(timer.sleep_until(later(10)));
        let (early, late) = (later(5), later(50));
        let mut waiting = timer.sleep_until(early);
        assert!(timer.0.lock().unwrap().is_none());
        timer.reset(&mut waiting, late);
        waiting.await;
        assert!(Instant::now() >= late);
    }
}
