//! The layout of MUSDB18-HQ: `train/TRACK/STEM.wav` and `test/TRACK/STEM.wav`, or another audio format, with an optional
//! `mixture.wav` per track. A folder `STEM` with files that are added may take the place of a stem's file.

use crate::data::dataset::Format;
use crate::data::song_folder::song_folders;

/// The format's row in the registry.
pub(crate) const FORMAT: Format = Format {
    layout: "MUSDB18-HQ, {train,test}/TRACK/STEM.wav (or .flac, .mp3, .m4a, .ogg), and mixture.wav if the mixture is \
             not the sum",
    recognises: |part| part.root.join(part.name).is_dir(),
    list: |part| song_folders(part.root.join(part.name), part),
};
