use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

async fn listening(places: usize) -> Patient {
    Patient::with_places(TcpListener::bind("127.0.0.1:0").await.unwrap(), places)
}

async fn connected() -> (Connection, TcpStream) {
    let mut patient = listening(1).await;
    let address = patient.local_addr().unwrap();
    let (accepted, client) = tokio::join!(patient.accept(), TcpStream::connect(address));
    (accepted.0, client.unwrap())
}

/// Sends one byte each 2 s for as long as somebody takes them.
async fn trickle(client: &mut TcpStream, byte: u8) {
    while client.write_all(&[byte]).await.is_ok() {
        sleep(Duration::from_secs(2)).await;
    }
}

/// Reads until the connection is cut, and when that was.
async fn cut(connection: &mut Connection) -> (io::ErrorKind, Duration) {
    let begun = Instant::now();
    let mut bytes = [0; 1_000];
    loop {
        match connection.read(&mut bytes).await {
            Ok(0) => return (io::ErrorKind::UnexpectedEof, begun.elapsed()),
            Ok(_) => {}
            Err(error) => return (error.kind(), begun.elapsed()),
        }
    }
}

#[tokio::test]
async fn who_never_reads_is_cut_off() {
    let (mut connection, client) = connected().await;
    tokio::time::pause();
    let begun = Instant::now();
    let answer = vec![b'x'; 64 << 20];
    let error = connection.write_all(&answer).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(begun.elapsed() >= UNREAD_MAX && begun.elapsed() < UNREAD_MAX * 3);
    drop(client);
}

#[tokio::test]
async fn who_reads_a_little_now_and_then_is_cut_off() {
    let (mut connection, mut client) = connected().await;
    tokio::time::pause();
    let begun = Instant::now();
    let answer = vec![b'x'; 256 << 20];
    let mut some = vec![0; 1 << 20];
    let reading = async {
        loop {
            sleep(Duration::from_secs(5)).await;
            client.read_exact(&mut some).await.unwrap();
        }
    };
    let error = tokio::select! {
        wrote = connection.write_all(&answer) => wrote.unwrap_err(),
        () = reading => unreachable!("it reads for ever"),
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(begun.elapsed() < ANSWER_MAX + UNREAD_MAX, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn who_never_asks_is_cut_off() {
    let (mut connection, client) = connected().await;
    tokio::time::pause();
    let (kind, after) = cut(&mut connection).await;
    assert!(kind == io::ErrorKind::TimedOut && after >= SILENT_MAX && after < SILENT_MAX * 2, "{after:?}");
    drop(client);
}

#[tokio::test]
async fn who_asks_byte_by_byte_is_cut_off() {
    for begun in ["GET / HTTP/1.1\r\nx: ", "GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n"] {
        let (mut connection, mut client) = connected().await;
        tokio::time::pause();
        client.write_all(begun.as_bytes()).await.unwrap();
        let ((kind, after), ()) = tokio::join!(
            async {
                let cut = cut(&mut connection).await;
                drop(connection);
                cut
            },
            trickle(&mut client, b'x')
        );
        let limit = if begun.ends_with("\r\n\r\n") { WORK_MAX } else { HEAD_MAX };
        assert!(kind == io::ErrorKind::TimedOut && after <= limit + Duration::from_secs(3), "{begun:?} {after:?}");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn who_asks_again_and_again_is_not_cut_off() {
    let (mut connection, mut client) = connected().await;
    tokio::time::pause();
    for _ in 0..20 {
        sleep(Duration::from_secs(60)).await;
        client.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut asked = [0; 32];
        connection.read_exact(&mut asked).await.unwrap();
        connection.write_all(b"alive").await.unwrap();
        client.read_exact(&mut [0; 5]).await.unwrap();
    }
}

#[tokio::test]
async fn places_that_are_held_become_free_again() {
    let mut patient = listening(2).await;
    let address = patient.local_addr().unwrap();
    let (mut one, mut other) = (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
    let mut third = TcpStream::connect(address).await.unwrap();
    let ((first, _), (second, _)) = (patient.accept().await, patient.accept().await);
    tokio::time::pause();
    let begun = Instant::now();
    let served = |mut connection: Connection| async move {
        let _ = cut(&mut connection).await;
    };
    let holding = async {
        tokio::join!(served(first), served(second), trickle(&mut one, b'x'), trickle(&mut other, b'x'));
    };
    let accepted = async {
        let (mut connection, _) = patient.accept().await;
        third.write_all(b"alive?").await.unwrap();
        connection.read_exact(&mut [0; 6]).await.unwrap();
        begun.elapsed()
    };
    let ((), after) = tokio::join!(holding, accepted);
    assert!(after < HEAD_MAX * 2, "{after:?}");
}
