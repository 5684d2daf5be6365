//! The Admin API's own listener.

use std::convert::Infallible;
use std::net::{IpAddr, TcpListener as StdListener};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::front::Front;

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
    let (parts, mut body) = request.into_parts();
    let limit = front.body_limit(&parts);
    let mut collected = BytesMut::new();
    let reading = async {
        while collected.len() <= limit
            && let Some(frame) = body.frame().await
        {
            if let Ok(data) = frame?.into_data() {
                collected.extend_from_slice(&data);
            }
        }
        Ok::<(), hyper::Error>(())
    };
    match tokio::time::timeout(BODY, reading).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Ok(plain(StatusCode::BAD_REQUEST)),
        Err(_) => return Ok(plain(StatusCode::REQUEST_TIMEOUT)),
    }
    let request = Request::from_parts(parts, collected.freeze());
    Ok(front.handle(request, peer).await.map(Full::new))
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
