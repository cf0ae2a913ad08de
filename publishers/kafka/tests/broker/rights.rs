//! Access rights, which the client library cannot give: Kafka's own request for it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[derive(Clone, Copy)]
pub(crate) enum Right {
    Write = 4,
    Describe = 8,
}

/// Allows `user` something on all topics whose names begin with `prefix`. Needs a connection that may give rights.
pub(crate) fn grant(broker: &str, user: &str, prefix: &str, right: Right) {
    const CREATE_ACLS: [u8; 4] = [0, 30, 0, 1]; // version 1
    const CORRELATION: [u8; 4] = [0, 0, 0, 7];
    const TOPIC: u8 = 2;
    const PREFIXED: u8 = 4;
    const ALLOW: u8 = 3;
    let mut request = [CREATE_ACLS, CORRELATION].concat();
    text(&mut request, "outbox-tests");
    request.extend([0, 0, 0, 1, TOPIC]);
    text(&mut request, prefix);
    request.push(PREFIXED);
    text(&mut request, &format!("User:{user}"));
    text(&mut request, "*");
    request.extend([right as u8, ALLOW]);

    let mut stream = TcpStream::connect(broker).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(&u32::try_from(request.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(&request).unwrap();
    // Length, correlation, throttle time, count of results, error code of the first.
    let mut answer = [0; 18];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!((&answer[4..8], &answer[12..16], &answer[16..18]), (&CORRELATION[..], &[0, 0, 0, 1][..], &[0, 0][..]));
}

fn text(request: &mut Vec<u8>, text: &str) {
    request.extend(i16::try_from(text.len()).unwrap().to_be_bytes());
    request.extend(text.as_bytes());
}
