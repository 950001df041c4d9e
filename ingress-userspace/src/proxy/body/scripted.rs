//! An answer's body that does what a test says.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::time::{Sleep, sleep};

use crate::proxy::Failure;

#[derive(Debug)]
pub enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Pause(Duration),
    Fail(Failure),
}

#[derive(Debug)]
pub struct Scripted {
    steps: VecDeque<Step>,
    timer: Option<Pin<Box<Sleep>>>,
}

// === impl Scripted ===

impl Scripted {
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), timer: None }
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        loop {
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
                self.timer = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Step::Trailers(trailers)) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Some(Step::Fail(failure)) => return Poll::Ready(Some(Err(failure))),
                Some(Step::Pause(pause)) => self.timer = Some(Box::pin(sleep(pause))),
            }
        }
    }
}
