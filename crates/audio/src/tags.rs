//! The tags of a song: read from its file, and written into the files of its stems.

use std::io;
use std::path::Path;

use lofty::config::{ParseOptions, WriteOptions};
use lofty::file::TaggedFileExt;
use lofty::id3::v2::Id3v2Tag;
use lofty::picture::{Picture, PictureInformation, PictureType};
use lofty::probe::Probe;
use lofty::tag::{ItemKey, Tag, TagExt, TagType};

/// What is carried over. Loudness and encoder fields would be wrong for a stem, and lyrics are long.
const KEYS: [ItemKey; 11] = [
    ItemKey::TrackTitle,
    ItemKey::TrackArtist,
    ItemKey::AlbumTitle,
    ItemKey::AlbumArtist,
    ItemKey::TrackNumber,
    ItemKey::TrackTotal,
    ItemKey::DiscNumber,
    ItemKey::DiscTotal,
    ItemKey::RecordingDate,
    ItemKey::Genre,
    ItemKey::Comment,
];

/// The largest cover in bytes. Every stem gets a copy of it.
const LARGEST_COVER: usize = 4 << 20;

/// The longest text in bytes, and the largest number of texts.
const LONGEST_TEXT: usize = 1 << 16;
const MOST_TEXTS: usize = 32;

/// Title, artist, album, track, date, genre, comment and front cover. The default has none of them.
#[derive(Clone, Debug, Default)]
pub struct Tags {
    texts: Vec<(ItemKey, String)>,
    cover: Option<Picture>,
}

impl Tags {
    /// Reads the tags of a file. The second value says why some of them are missing: the file's tags are damaged, or
    /// larger than a few MiB. A file without tags, or of a format whose tags are not known, gives none.
    pub fn read(path: &Path) -> (Self, Option<String>) {
        match read(path) {
            Ok(Some(tag)) => Self::of(&tag),
            Ok(None) => (Self::default(), None),
            Err(reason) => (Self::default(), Some(format!("its tags cannot be read ({reason})"))),
        }
    }

    fn of(tag: &Tag) -> (Self, Option<String>) {
        let mut omitted = Vec::new();
        let mut texts = Vec::new();
        for key in KEYS {
            for text in tag.get_strings(key).filter(|text| !text.is_empty()) {
                if text.len() <= LONGEST_TEXT && texts.len() < MOST_TEXTS {
                    texts.push((key, text.to_owned()));
                } else {
                    omitted.push(format!("a text of {} bytes", text.len()));
                }
            }
        }
        let front = tag.get_picture_type(PictureType::CoverFront).or(tag.pictures().first());
        let cover = front.filter(|cover| cover.data().len() <= LARGEST_COVER).cloned();
        if let (Some(front), None) = (front, &cover) {
            omitted.push(format!("a cover of {} MiB", front.data().len() >> 20));
        }
        let omitted = (!omitted.is_empty())
            .then(|| format!("its tags are too large for the stems ({} left out)", omitted.join(", ")));
        (Self { texts, cover }, omitted)
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.cover.is_none()
    }

    /// The same with the stem's name in the title: `Title (vocals)`. A song without a title stays without.
    #[must_use]
    pub fn for_stem(&self, stem: &str) -> Self {
        let mut tags = self.clone();
        for (key, text) in &mut tags.texts {
            if *key == ItemKey::TrackTitle {
                *text = format!("{text} ({stem})");
            }
        }
        tags
    }

    /// An ID3v2 tag with its header, for mp3 and wav. Empty if there is nothing to write.
    pub(crate) fn id3v2(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if !self.is_empty() {
            let tag = Id3v2Tag::from(self.tag(TagType::Id3v2));
            let options = WriteOptions::new().preferred_padding(0);
            tag.dump_to(&mut bytes, options).map_err(|error| io::Error::other(error.to_string()))?;
        }
        Ok(bytes)
    }

    /// Names and values of Vorbis comments, without the cover.
    pub(crate) fn comments(&self) -> Vec<(String, String)> {
        let name = |key: ItemKey| key.map_key(TagType::VorbisComments).map(str::to_owned);
        self.texts.iter().filter_map(|(key, text)| Some((name(*key)?, text.clone()))).collect()
    }

    /// The cover as the content of a flac's picture block, encoded in base64 if `base64`.
    pub(crate) fn picture(&self, base64: bool) -> Option<Vec<u8>> {
        let cover = self.cover.as_ref()?;
        let size = PictureInformation::from_picture(cover).unwrap_or_default();
        Some(cover.as_flac_bytes(size, base64))
    }

    fn tag(&self, kind: TagType) -> Tag {
        let mut tag = Tag::new(kind);
        for (key, text) in &self.texts {
            tag.push(lofty::tag::TagItem::new(*key, lofty::tag::ItemValue::Text(text.clone())));
        }
        if let Some(cover) = &self.cover {
            tag.push_picture(cover.clone());
        }
        tag
    }
}

fn read(path: &Path) -> Result<Option<Tag>, String> {
    let options = ParseOptions::new().read_properties(false);
    let probe = Probe::open(path).map_err(|error| error.to_string())?.options(options);
    let probe = probe.guess_file_type().map_err(|error| error.to_string())?;
    if probe.file_type().is_none() {
        return Ok(None);
    }
    let mut file = probe.read().map_err(|error| error.to_string())?;
    // An mp3 may have several kinds of tags. The primary one has the longest texts.
    let kind = file.primary_tag().map(Tag::tag_type).or(file.first_tag().map(Tag::tag_type));
    Ok(kind.and_then(|kind| file.remove(kind)))
}
