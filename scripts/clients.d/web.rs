// SPDX-License-Identifier: GPL-2.0-only
//! The same as web.py by hyper's client, with hyper-tls:
//! web-hyper hyper|hyper-busy URL PAUSE METHOD,METHOD...
//!
//! hyper repeats by itself what it has not begun to write. A program may repeat
//! what is idempotent after Error::is_incomplete_message(), "a message reached
//! EOF, but is not complete". In a pause, the busy one keeps hyper's task from
//! being told of a close.

use std::time::{Duration, Instant};

use hyper::client::HttpConnector;
use hyper::{Body, Client, Method, Request};
use hyper_tls::HttpsConnector;

type Web = Client<HttpsConnector<HttpConnector>>;

fn connector() -> HttpsConnector<HttpConnector> {
    let cert = std::fs::read(std::env::var("SSL_CERT_FILE").unwrap()).unwrap();
    let tls = native_tls::TlsConnector::builder()
        .add_root_certificate(native_tls::Certificate::from_pem(&cert).unwrap())
        .build()
        .unwrap();
    let mut http = HttpConnector::new();

    http.enforce_http(false);
    HttpsConnector::from((http, tls.into()))
}

// What the user would be told, or nothing
async fn attempt(client: &Web, method: &Method, url: &str) -> Option<String> {
    let body = match *method {
        Method::POST => Body::from("hello"),
        _ => Body::empty(),
    };
    let request = Request::builder().method(method).uri(url).body(body).unwrap();

    match client.request(request).await {
        Ok(answer) => {
            let status = answer.status();
            match hyper::body::to_bytes(answer.into_body()).await {
                Ok(_) if status == 200 => None,
                Ok(_) => Some(format!("HTTP {}", status)),
                Err(e) => Some(format!("{}", e)),
            }
        }
        Err(e) => {
            let mut words = e.to_string();
            let mut cause = std::error::Error::source(&e);
            while let Some(c) = cause {
                if !words.ends_with(&c.to_string()) {
                    words += &format!(": {}", c);
                }
                cause = c.source();
            }
            let again = e.is_incomplete_message() && method.is_idempotent();
            Some(format!("{}{}", if again { "again: " } else { "" }, words))
        }
    }
}

async fn run(name: &str, url: &str, pause: Duration, methods: &str) {
    let client: Web = Client::builder().build(connector());

    for (n, method) in methods.split(',').enumerate() {
        if n > 0 && name == "hyper" {
            tokio::time::sleep(pause).await;
        } else if n > 0 {
            std::thread::sleep(pause);
        }
        let method = method.parse().unwrap();
        let start = Instant::now();
        let mut errors = String::new();
        for _ in 0..3 {
            match attempt(&client, &method, &format!("{}/{}", url, n)).await {
                None => break,
                Some(e) => errors += &format!("\t{}", e),
            }
        }
        println!("{}\t{}\t{:.1}{}", n, method,
                 start.elapsed().as_secs_f64() * 1000.0, errors);
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let pause = Duration::from_secs(args[3].parse().unwrap());

    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(run(&args[1], &args[2], pause, &args[4]));
}
