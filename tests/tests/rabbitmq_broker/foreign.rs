//! The broker as others see it: another AMQP client, and one that writes what no client of this language can.
//! Never uses the adapter under test.

use std::io::{Read, Write};
use std::net::TcpStream;

use lapin::{Channel, Connection, ConnectionProperties};

use super::hub::DEADLINE;

/// Any other client's view.
pub(crate) async fn raw(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// Publishes with a message id in Latin-1, as no client of this language can.
pub(crate) fn publish_latin1(url: &str, queue: &str) {
    let short = |text: &[u8]| [&[u8::try_from(text.len()).unwrap()], text].concat();
    let long = |text: &[u8]| [&u32::try_from(text.len()).unwrap().to_be_bytes(), text].concat();
    let frame = |kind: u8, channel: u16, payload: Vec<u8>| {
        [&[kind], &channel.to_be_bytes()[..], &long(&payload), &[0xce]].concat()
    };
    let method = |channel: u16, class: u16, method: u16, arguments: Vec<u8>| {
        frame(
            1,
            channel,
            [&class.to_be_bytes()[..], &method.to_be_bytes(), &arguments].concat(),
        )
    };
    let start_ok = [
        long(b""),
        short(b"PLAIN"),
        long(b"\0guest\0guest"),
        short(b"en_US"),
    ];
    let tune_ok = [
        &2047_u16.to_be_bytes()[..],
        &131_072_u32.to_be_bytes(),
        &0_u16.to_be_bytes(),
    ];
    let open = [short(b"/"), short(b""), vec![0]];
    let publish = [vec![0, 0], short(b""), short(queue.as_bytes()), vec![0]];
    let header = [
        &60_u16.to_be_bytes()[..],
        &[0; 2],
        &2_u64.to_be_bytes(),
        &(1_u16 << 7).to_be_bytes(),
        &short(b"caf\xe9"),
    ];
    // Each with whether the broker answers before the next: start, tune, open-ok twice, close-ok.
    let conversation = [
        (b"AMQP\x00\x00\x09\x01".to_vec(), true),
        (method(0, 10, 11, start_ok.concat()), true),
        (method(0, 10, 31, tune_ok.concat()), false),
        (method(0, 10, 40, open.concat()), true),
        (method(1, 20, 10, short(b"")), true),
        (method(1, 60, 40, publish.concat()), false),
        (frame(2, 1, header.concat()), false),
        (frame(3, 1, b"hi".to_vec()), false),
        (
            method(1, 20, 40, [vec![0, 200], short(b""), vec![0; 4]].concat()),
            true,
        ),
    ];
    let mut socket = TcpStream::connect(authority(url)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    for (bytes, answered) in conversation {
        socket.write_all(&bytes).unwrap();
        if answered {
            let mut head = [0; 7];
            socket.read_exact(&mut head).unwrap();
            let [.., a, b, c, d] = head;
            let rest = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap() + 1;
            socket.read_exact(&mut vec![0; rest]).unwrap();
        }
    }
}

/// Host and port.
pub(crate) fn authority(url: &str) -> String {
    let (_, rest) = url.split_once('@').unwrap();
    rest.split('/').next().unwrap().to_owned()
}
