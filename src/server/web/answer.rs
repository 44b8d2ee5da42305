//! From a request to the web to its answer: which page, who may see it, what comes with it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::guard::{self, Refusal};
use super::{Phase, Served, Shared, console, metrics};

const TEXT: &str = "text/plain; charset=utf-8";

/// The console: one page that loads nothing but its figures.
const CONSOLE: &str = include_str!("console.html");

/// What the console may do, by the hashes of its own script and style.
static CONSOLE_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |tag: &str| {
        let inside =
            CONSOLE.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
        BASE64_STANDARD.encode(Sha256::digest(inside.map_or("", |(inside, _)| inside)))
    };
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style")
    );
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

/// The body of an answer.
pub(super) type Page = Full<Bytes>;

/// Answers a request.
pub(super) async fn answer(shared: &Arc<Shared>, peer: IpAddr, request: &Request<Incoming>) -> Response<Page> {
    let path = request.uri().path();
    let gather: fn(&Shared, &Served) -> Response<Page> = match path {
        "/healthz" | "/readyz" | "/" => |_, _| text(StatusCode::OK, ""),
        "/metrics" => |_, served| page(StatusCode::OK, metrics::MEDIA_TYPE, metrics::exposition(served)),
        "/console.json" => |shared, served| page(StatusCode::OK, "application/json", console::figures(shared, served)),
        _ => return text(StatusCode::NOT_FOUND, "not found: there are /, /metrics, /healthz and /readyz\n"),
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "nothing can be changed here: GET and HEAD only\n");
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        // What comes with the request is not read.
        refused.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return refused;
    }
    match path {
        "/healthz" => return text(StatusCode::OK, "ok\n"),
        "/readyz" => return readiness(&shared.phase()),
        _ => {}
    }
    if let Err(refusal) = guard::admit(&shared.config.load(), peer, request.headers()) {
        return refused(refusal);
    }
    if path == "/" {
        return with_policy(page(StatusCode::OK, "text/html; charset=utf-8", CONSOLE), &CONSOLE_POLICY);
    }
    let Phase::Serving(served) = shared.phase() else { return readiness(&shared.phase()) };
    let shared = shared.clone();
    let Ok(_one_at_a_time) = shared.gathering.acquire().await else { return failed() };
    let gathering = shared.clone();
    // Figures come from the disk, too.
    let gathered = tokio::task::spawn_blocking(move || gather(&gathering, &served)).await;
    gathered.unwrap_or_else(|error| {
        tracing::error!(%error, "a page of the metrics port could not be put together");
        failed()
    })
}

/// Whether clients can be served, for who leads them here.
fn readiness(phase: &Phase) -> Response<Page> {
    let why = match phase {
        Phase::Opening => "the database is being opened\n".to_owned(),
        Phase::Stopping => "the server is stopping\n".to_owned(),
        Phase::Serving(served) => {
            let failure = served.instance.syncer.figures().failure;
            match (failure, served.instance.observe.writes_allowed()) {
                (Some(failure), _) => format!("the disk fails, writes are refused: {failure}\n"),
                (None, Err(error)) => format!("{error}\n"),
                (None, Ok(())) => return text(StatusCode::OK, "ready\n"),
            }
        }
    };
    text(StatusCode::SERVICE_UNAVAILABLE, why)
}

fn refused(refusal: Refusal) -> Response<Page> {
    match refusal {
        Refusal::Password => {
            let mut refused = text(StatusCode::UNAUTHORIZED, "the name and password of metrics-user are wanted\n");
            let scheme = HeaderValue::from_static("Basic realm=\"ferrock\", charset=\"UTF-8\"");
            refused.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            refused
        }
        Refusal::Stranger => text(
            StatusCode::FORBIDDEN,
            "shown to this machine only: set metrics-password, or protected-mode no if nobody else can get here\n",
        ),
        Refusal::Name => text(
            StatusCode::FORBIDDEN,
            "call this machine localhost or by its address, set metrics-password, or protected-mode no\n",
        ),
    }
}

fn failed() -> Response<Page> {
    text(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be put together; the server's log says why\n")
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Page> {
    page(status, TEXT, text)
}

/// A page that no cache keeps, that is what it says it is, and that may do nothing in a browser.
fn page(status: StatusCode, media_type: &'static str, content: impl Into<Bytes>) -> Response<Page> {
    let mut response = Response::new(Page::new(content.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.insert(header::CONTENT_SECURITY_POLICY, nothing);
    response
}

fn with_policy(mut response: Response<Page>, policy: &HeaderValue) -> Response<Page> {
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    response
}
