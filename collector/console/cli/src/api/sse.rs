//! Server-sent events: bytes in, frames out. Pure.

/// The longest frame that is kept; a longer one is passed over and counted.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// One frame.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frame {
    /// Where to go on from if the connection breaks after this frame.
    pub id: Option<String>,
    /// What kind of frame; `message` where the server does not say.
    pub event: String,
    /// The content.
    pub data: String,
}

/// Takes a stream apart.
#[derive(Debug, Default)]
pub struct Frames {
    pending: Vec<u8>,
    overlong: bool,
    passed_over: u64,
}

impl Frames {
    /// Takes the next bytes of the stream.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next frame that is complete and has content.
    pub fn poll_frame(&mut self) -> Option<Frame> {
        loop {
            let Some((end, next)) = frame_end(&self.pending) else {
                if self.pending.len() > FRAME_BYTES_MAX {
                    // Its end is still looked for: the last bytes may be half of one.
                    self.overlong = true;
                    let keep_from = self.pending.len() - 3;
                    self.pending.drain(..keep_from);
                }
                return None;
            };
            let rest = self.pending.split_off(next);
            let mut frame = std::mem::replace(&mut self.pending, rest);
            frame.truncate(end);
            if std::mem::take(&mut self.overlong) || frame.len() > FRAME_BYTES_MAX {
                self.passed_over += 1;
                continue;
            }
            if let Some(frame) = parse(&String::from_utf8_lossy(&frame)) {
                return Some(frame);
            }
        }
    }

    /// How many frames were too long to keep.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }
}

/// Where the first frame ends and the next one begins.
fn frame_end(bytes: &[u8]) -> Option<(usize, usize)> {
    let ends: [&[u8]; 3] = [b"\n\n", b"\r\n\r\n", b"\r\r"];
    let found = |end: &&[u8]| {
        let at = bytes.windows(end.len()).position(|window| window == *end)?;
        Some((at, at + end.len()))
    };
    ends.iter().filter_map(found).min()
}

fn parse(text: &str) -> Option<Frame> {
    let mut frame = Frame { event: "message".to_owned(), ..Frame::default() };
    let mut lines = Vec::new();
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => lines.push(value),
            "id" => frame.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut frame.event),
            // Comments are signs of life; other fields are not ours.
            _ => {}
        }
    }
    frame.data = lines.join("\n");
    (!lines.is_empty()).then_some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the stream whole and byte by byte; both must say the same.
    #[track_caller]
    fn check(stream: &str, says: &[(&str, &str, &str)]) {
        for chunk_bytes in [stream.len(), 1] {
            let mut frames = Frames::default();
            let mut said = Vec::new();
            for chunk in stream.as_bytes().chunks(chunk_bytes) {
                frames.handle_bytes(chunk);
                while let Some(frame) = frames.poll_frame() {
                    said.push((frame.id.unwrap_or_default(), frame.event, frame.data));
                }
            }
            let says: Vec<_> = says
                .iter()
                .map(|(id, event, data)| {
                    ((*id).to_owned(), (*event).to_owned(), (*data).to_owned())
                })
                .collect();
            assert_eq!(said, says, "in chunks of {chunk_bytes}");
        }
    }

    #[test]
    fn frames_come_whole_with_their_place_and_kind() {
        check("id: 7\ndata: {\"a\":1}\n\n", &[("7", "message", "{\"a\":1}")]);
        check("data: a\ndata: b\n\n", &[("", "message", "a\nb")]);
        check("event: missed\r\ndata:3\r\n\r\n", &[("", "missed", "3")]);
        check(": still here\n\n", &[]);
        check("data: cut off", &[]);
    }

    #[test]
    fn a_frame_without_end_is_passed_over_and_counted_and_the_next_one_is_read() {
        let mut frames = Frames::default();
        for _ in 0..5 {
            frames.handle_bytes(&vec![b'x'; FRAME_BYTES_MAX / 2]);
            assert_eq!(frames.poll_frame(), None);
            assert!(frames.pending.len() <= FRAME_BYTES_MAX);
        }
        frames.handle_bytes(b"\n\ndata: next\n\n");
        assert_eq!(frames.poll_frame().unwrap().data, "next");
        assert_eq!(frames.passed_over(), 1);
    }
}
