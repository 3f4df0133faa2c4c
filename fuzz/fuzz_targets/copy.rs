//! Any bytes as a COPY stream, cut anywhere: rows or a refusal, the same as when it comes at once; never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pw_data::copy::{Malformed, Rows};

type Read = (Vec<Vec<Option<Vec<u8>>>>, Option<Malformed>);

fn read<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Read {
    let (mut rows, mut all) = (Rows::default(), Vec::new());
    for chunk in chunks {
        rows.push(chunk.to_vec().into());
        loop {
            match rows.advance() {
                Ok(true) => all.push((0..rows.width()).map(|at| rows.field(at).map(<[u8]>::to_vec)).collect()),
                Ok(false) => break,
                Err(malformed) => return (all, Some(malformed)),
            }
        }
    }
    (all, None)
}

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (size, mut stream) = input;
    // Half of the inputs begin as a stream does, so that the rows are reached.
    if size % 2 == 0 {
        let mut whole = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        whole.append(&mut stream);
        stream = whole;
    }
    let at_once = read(std::iter::once(stream.as_slice()));
    assert_eq!(read(stream.chunks(usize::from(size).max(1))), at_once);
});
