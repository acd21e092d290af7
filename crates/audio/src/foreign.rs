//! Names the files that are no audio of a supported format, so that the user learns what he has.

use crate::error::Problem;

/// Bytes at the beginning of a file that [`recognise`] looks at.
pub(crate) const HEAD: usize = 4096;

/// Audio formats that are not read: position of the signature, signature, name.
const AUDIO: [(usize, &[u8], &str); 34] = [
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (wma, asf)"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+", "Musepack"),
    (0, b"MAC ", "Monkey's Audio (ape)"),
    (0, b"wvpk", "WavPack"),
    (0, b"DSD ", "DSD audio (dsf)"),
    (0, b"FRM8", "DSD audio (dff)"),
    (0, b"MThd", "MIDI, which holds notes and no sound"),
    (8, b"RMID", "MIDI, which holds notes and no sound"),
    (0, b"#!AMR", "AMR, the codec of telephones"),
    (0, b"TTA1", "True Audio (tta)"),
    (0, b"TTA2", "True Audio (tta)"),
    (0, b"OFR ", "OptimFROG"),
    (0, b"tBaK", "TAK"),
    (0, b"LPAC", "LPAC"),
    (0, b"ajkg", "Shorten"),
    (0, b"\x0b\x77", "Dolby Digital (ac3)"),
    (0, b"\x7f\xfe\x80\x01", "DTS"),
    (0, b"\xfe\x7f\x01\x80", "DTS"),
    (0, b"\x1f\xff\xe8\x00", "DTS"),
    (0, b"\xff\x1f\x00\xe8", "DTS"),
    (0, b".RMF", "RealMedia"),
    (0, b".ra\xfd", "RealAudio"),
    (0, b"dns.", "au with reversed bytes"),
    (0, b"Creative Voice File", "Creative Voice (voc)"),
    (8, b"8SVX", "Amiga sound (8svx)"),
    (0, b"RIFX", "wav with reversed bytes (rifx)"),
    (8, b"RMP3", "mp3 in a RIFF (rmp)"),
    (0, b"Extended Module:", "a tracker module (xm)"),
    (0, b"IMPM", "a tracker module (it)"),
    (44, b"SCRM", "a tracker module (s3m)"),
    (0, b"ADIF", "AAC in ADIF"),
    (0, b"FLV\x01", "Flash video (flv)"),
    (8, b"AVI ", "AVI video"),
];

/// Files that are no audio: position of the signature, signature, name.
const OTHER: [(usize, &[u8], &str); 26] = [
    (0, b"version https://git-lfs.github.com/spec/", "a Git LFS pointer to the file"),
    (
        0,
        b"bplist00",
        "an Apple property list, such as iCloud's placeholder for a file that was not downloaded",
    ),
    (0, b"\x89PNG", "a picture (png)"),
    (0, b"\xff\xd8\xff", "a picture (jpeg)"),
    (0, b"GIF8", "a picture (gif)"),
    (8, b"WEBP", "a picture (webp)"),
    (0, b"II*\0", "a picture (tiff)"),
    (0, b"MM\0*", "a picture (tiff)"),
    (4, b"ftypheic", "a picture (heic)"),
    (4, b"ftypavif", "a picture (avif)"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"Rar!\x1a\x07", "a rar archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"\x1f\x8b\x08", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\0", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (0, b"SQLite format 3", "a database"),
    (0, b"\xff\xfe<\0", "a text in UTF-16"),
    (0, b"#EXTM3U", "a playlist (m3u), which holds links and no sound"),
    (0, b"[playlist]", "a playlist (pls), which holds links and no sound"),
];

/// The error for a file that begins with `head`, if it is a known kind of file that is not read.
pub(crate) fn recognise(head: &[u8]) -> Option<Problem> {
    let name_in = |table: &[(usize, &[u8], &'static str)]| {
        let found = table
            .iter()
            .find(|(at, signature, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(signature)));
        found.map(|(.., name)| *name)
    };
    let audio = name_in(&AUDIO).map(Problem::OtherFormat);
    audio.or_else(|| name_in(&OTHER).or_else(|| text(head)).map(Problem::NotAudio))
}

/// The name of a text. `None` if it is no text.
fn text(head: &[u8]) -> Option<&'static str> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may be cut.
        Err(error) if head.len() - error.valid_up_to() < 4 => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    if text.len() < 2 || text.contains(|c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0c'))
    {
        return None;
    }
    let start = text.trim_start().get(..14).unwrap_or(text.trim_start()).to_ascii_lowercase();
    let is_page = ["<!doctype html", "<html", "<head"].iter().any(|mark| start.starts_with(mark));
    Some(if is_page { "a web page (html), perhaps the message of a failed download" } else { "a text" })
}

#[cfg(test)]
mod tests {
    use super::{AUDIO, OTHER, recognise};
    use crate::error::Problem;

    #[test]
    fn every_signature_gives_its_name() {
        for (at, signature, name) in AUDIO.into_iter().chain(OTHER) {
            let mut head = vec![0x80; at];
            head.extend(signature);
            head.resize(512, 0x80);
            match recognise(&head) {
                Some(Problem::OtherFormat(found) | Problem::NotAudio(found)) => assert_eq!(found, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn texts_are_told_from_sound() {
        let name = |head: &[u8]| match recognise(head) {
            Some(Problem::NotAudio(name)) => name,
            _ => "",
        };
        assert_eq!(name(b"This is a letter."), "a text");
        assert_eq!(name("\u{feff}Gr\u{fc}\u{df}e".as_bytes()), "a text");
        assert_eq!(name(&"é".as_bytes().repeat(9)[..17]), "a text");
        assert!(name(b"\r\n <!DOCTYPE HTML><html>").starts_with("a web page"));
        assert_eq!([name(b""), name(b"x"), name(b"RIFF\0\0\0\0"), name(b"caf\xe9 and more")], [""; 4]);
    }
}
