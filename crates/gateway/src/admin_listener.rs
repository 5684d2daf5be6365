//! The Admin API's own listener.

use std::convert::Infallible;
use std::net::{IpAddr, TcpListener as StdListener};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::data::phase::Phase;
use crate::front::Front;

/// A head must be whole after this time.
const HEAD: Duration = Duration::from_secs(10);

/// A body must be whole after this time.
const BODY: Duration = Duration::from_secs(30);

/// How long requests may take that are under way when the listener is closed.
const CLOSING: Duration = Duration::from_secs(5);

/// Serves until the phase is [`Phase::Closing`], and finishes what is under way. From [`Phase::Leaving`] on no
/// connection is accepted, and those that are there are told to close with their next answer.
pub(crate) async fn serve(socket: StdListener, front: Front, phases: watch::Receiver<Phase>) {
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the admin listener cannot be watched; the Admin API is not available");
            return;
        }
    };
    let mut connections = JoinSet::new();
    let accepting = async {
        loop {
            while connections.try_join_next().is_some() {}
            let Ok((stream, peer)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            connections.spawn(connection(stream, peer.ip(), front.clone(), phases.clone()));
        }
    };
    tokio::select! {
        () = accepting => {}
        () = reached(phases.clone(), Phase::Leaving) => {}
    }
    drop(listener);
    tokio::select! {
        () = async { while connections.join_next().await.is_some() {} } => {}
        () = async {
            reached(phases, Phase::Closing).await;
            tokio::time::sleep(CLOSING).await;
        } => {}
    }
}

async fn connection(stream: TcpStream, peer: IpAddr, front: Front, phases: watch::Receiver<Phase>) {
    let service = service_fn(|request| {
        let (front, phases) = (front.clone(), phases.clone());
        async move {
            let mut response = answer(front, request, peer).await?;
            if *phases.borrow() >= Phase::Leaving {
                let fields = response.headers_mut();
                fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = reached(phases.clone(), Phase::Closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

async fn reached(mut phases: watch::Receiver<Phase>, phase: Phase) {
    // The sender is dropped only when the process ends anyway.
    phases.wait_for(|now| *now >= phase).await.ok();
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
