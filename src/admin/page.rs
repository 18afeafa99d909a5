//! The page for people: files in the binary, and the headers of every answer.
//!
//! The page asks this server alone, by the addresses that scripts use too. Its policy (`Content-Security-Policy`) allows nothing else:
//! no other origin, no inline script or style, no frame around it. Nothing is kept in a browser's cache, because answers may hold
//! documents.

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::Response;
use axum::routing::get;

use super::Admin;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Every file of the page: its path, its type and its text.
const FILES: [(&str, &str, &str); 6] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("page/page.js")),
    ("/dom.js", "text/javascript; charset=utf-8", include_str!("page/dom.js")),
    ("/chart.js", "text/javascript; charset=utf-8", include_str!("page/chart.js")),
    ("/browse.js", "text/javascript; charset=utf-8", include_str!("page/browse.js")),
];

pub(super) fn routes() -> Router<Admin> {
    let mut routes = Router::new();
    for (path, media_type, text) in FILES {
        routes = routes.route(path, get(move || async move { ([(CONTENT_TYPE, media_type)], text) }));
    }
    routes
}

/// What every answer of the server says, refusals included.
pub(super) async fn with_headers(mut answer: Response) -> Response {
    const ALL: [(HeaderName, &str); 4] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in ALL {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_writes_texts_as_texts_and_asks_nobody_else() {
        for (path, _, text) in FILES {
            for forbidden in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=", "onclick="]
            {
                assert!(!text.contains(forbidden), "{path} holds {forbidden}");
            }
            let others =
                text.split("http").skip(1).filter(|after| after.starts_with("://") || after.starts_with("s://"));
            // Behind a proxy the page may stand beneath a path.
            for rooted in ["=\"/", "fetch('/", "fetch(`/", "ask('/", "ask(`/", "from '/"] {
                assert!(!text.contains(rooted), "{path} asks at the root: {rooted}");
            }
            // The name of SVG's elements is a name, not an address that is asked.
            let others: Vec<_> = others.filter(|after| !after.starts_with("://www.w3.org/2000/svg")).collect();
            assert!(others.is_empty(), "{path} names another origin: {others:?}");
        }
    }
}
