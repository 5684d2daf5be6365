//! The Admin API's own listener.

use std::convert::Infallible;
use std::net::{IpAddr, TcpListener as StdListener};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::front::{Front, MAX_BODY};

/// A head must be whole after this time.
const HEAD: Duration = Duration::from_secs(10);

/// A body must be whole after this time.
const BODY: Duration = Duration::from_secs(30);

/// Serves until the process ends.
pub(crate) async fn serve(socket: StdListener, front: Front) {
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the admin listener cannot be watched; the Admin API is not available");
            return;
        }
    };
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let front = front.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(front.clone(), request, peer.ip()));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an admin connection ended early");
            }
        });
    }
}

async fn answer(
    front: Front,
    request: Request<Incoming>,
    peer: IpAddr,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = match tokio::time::timeout(BODY, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => {
            let is_long = error
                .downcast_ref::<http_body_util::LengthLimitError>()
                .is_some();
            return Ok(plain(if is_long {
                StatusCode::PAYLOAD_TOO_LARGE
            } else {
                StatusCode::BAD_REQUEST
            }));
        }
        Err(_) => return Ok(plain(StatusCode::REQUEST_TIMEOUT)),
    };
    Ok(front
        .handle(Request::from_parts(parts, body), peer)
        .await
        .map(Full::new))
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    response
}
