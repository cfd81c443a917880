//! The body of an answer, whole or cut on purpose.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_LENGTH;
use hyper::body::{Body, Frame, SizeHint};

use super::phase::Watch;

/// One frame, then the end; or, cut, one frame and then nothing until the connection is closed.
pub(super) struct AnswerBody {
    data: Bytes,
    declared: u64,
    cut: bool,
    watch: Arc<Watch>,
}

/// The response as it is.
pub(super) fn whole(response: Response<Bytes>, watch: &Arc<Watch>) -> Response<AnswerBody> {
    response.map(|data| AnswerBody { declared: data.len() as u64, data, cut: false, watch: Arc::clone(watch) })
}

/// Declares the whole body (one byte more when it is not longer than `keep`) and sends `keep` bytes of it.
pub(super) fn cut(mut response: Response<Bytes>, keep: usize, watch: &Arc<Watch>) -> Response<AnswerBody> {
    response.headers_mut().remove(CONTENT_LENGTH);
    response.map(|mut data| {
        let declared = data.len().max(keep.min(data.len()) + 1) as u64;
        data.truncate(keep);
        AnswerBody { data, declared, cut: true, watch: Arc::clone(watch) }
    })
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = std::mem::take(&mut self.data);
        if !data.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if self.cut {
            // Never woken: the connection is closed as soon as what came before is on the wire.
            self.watch.close_when_flushed();
            return Poll::Pending;
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && !self.cut
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.declared)
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        // hyper drops a body when it has taken all of it, or needs none of it (HEAD).
        self.watch.answer_handed_over();
    }
}
