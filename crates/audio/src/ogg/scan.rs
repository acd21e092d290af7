//! Finds the links of a file, their lengths, and what is missing.

use std::ops::Range;

use super::link::Link;
use super::packets::Packets;
use super::page::{CutPage, Page, Pages};
use crate::codec::Kind;
use crate::error::Problem;
use crate::joined::{Section, check_count};
use crate::notice::{Notices, ReadOptions};
use crate::source::Shared;

/// Minimum distance in bytes between two places where decoding can begin.
const ENTRY_STEP: u64 = 64 * 1024;

/// Longest time in seconds that is believed to lie between two pages without headers.
const MAX_STEP: i64 = 600;

/// What a file holds.
pub(crate) struct File {
    pub(crate) links: Vec<Link>,
    /// The layout and the length of each link.
    pub(crate) sections: Vec<Section>,
    pub(crate) notices: Notices,
}

/// Walks over the pages of a file. `kinds`: the codecs that can be read. `others`: the first bytes and the names of audio
/// codecs that cannot be read.
pub(crate) fn scan(
    source: &Shared,
    range: Range<u64>,
    kinds: &[&'static Kind],
    others: &[(&[u8], &str)],
    options: ReadOptions,
) -> Result<File, Problem> {
    let mut pages = Pages::new(source.part(0..range.end));
    pages.seek(range.start);
    let file = File { links: Vec::new(), sections: Vec::new(), notices: Notices::new(options) };
    let mut scan = Scan { file, seconds: 0.0, group: None, strays: Strays::default() };
    let mut began = false;
    while let Some(page) = pages.next()? {
        if page.first {
            if !scan.group.as_ref().is_some_and(|group| group.beginning) {
                scan.finish(page.start, None)?;
                scan.group = Some(Group::new(page.start));
            }
            began = true;
            scan.begin_stream(&page, kinds, others)?;
        } else {
            scan.page(&page)?;
        }
    }
    scan.finish(range.end, pages.cut())?;
    if !began {
        return Err(Problem::Truncated("its first page is missing".into()));
    }
    Ok(scan.file)
}

struct Scan {
    file: File,
    /// Length of the finished links in seconds.
    seconds: f64,
    /// The current link.
    group: Option<Group>,
    strays: Strays,
}

/// The streams that begin together.
struct Group {
    start: u64,
    /// All pages so far are first pages.
    beginning: bool,
    serials: Vec<u32>,
    /// The first audio stream that can be read.
    stream: Option<(Packets, Link)>,
    /// An audio codec that cannot be read.
    other: Option<String>,
}

/// Pages that belong to no stream of their link, because the first page of their stream is missing.
#[derive(Default)]
struct Strays {
    /// Time of the first such page in seconds.
    at: f64,
    /// Serial number and granule position of the last such page.
    last: Option<(u32, i64)>,
    frames: i64,
}

impl Group {
    fn new(start: u64) -> Self {
        Self { start, beginning: true, serials: Vec::new(), stream: None, other: None }
    }
}

impl Scan {
    /// Takes the first page of a stream.
    fn begin_stream(
        &mut self,
        page: &Page,
        kinds: &[&'static Kind],
        others: &[(&[u8], &str)],
    ) -> Result<(), Problem> {
        let Some(group) = &mut self.group else { return Ok(()) };
        group.serials.push(page.serial);
        let packet = page.pieces().next().map_or(&[][..], |(piece, _)| piece);
        if let Some((_, name)) = others.iter().find(|(magic, _)| packet.starts_with(magic)) {
            group.other.get_or_insert((*name).to_owned());
        }
        if let Some(kind) = kinds.iter().find(|kind| packet.starts_with(kind.magic))
            && group.stream.is_none()
        {
            let range = group.start..group.start;
            let link = Link { range, serial: page.serial, kind, skip: 0, entries: Vec::new() };
            group.stream = Some((Packets::new(kind), link));
            self.take(page)?;
        }
        Ok(())
    }

    /// Takes a page that is not the first of its stream.
    fn page(&mut self, page: &Page) -> Result<(), Problem> {
        let Some(group) = &mut self.group else {
            self.strays.take(page, 0.0);
            return Ok(());
        };
        group.beginning = false;
        if group.stream.as_ref().is_some_and(|(_, link)| link.serial == page.serial) {
            self.take(page)?;
        } else if !group.serials.contains(&page.serial) {
            let at = self.now();
            self.strays.take(page, at);
        }
        Ok(())
    }

    /// Takes a page of the chosen stream.
    fn take(&mut self, page: &Page) -> Result<(), Problem> {
        let seconds = self.now();
        let Some((packets, link)) = self.group.as_mut().and_then(|group| group.stream.as_mut()) else {
            return Ok(());
        };
        let shifted = |problem| match problem {
            Problem::Malformed { seconds: within, detail } => {
                Problem::Malformed { seconds: self.seconds + within, detail }
            }
            problem => problem,
        };
        let Some(audio) = packets.page(page).map_err(shifted)? else { return Ok(()) };
        if !page.continued && link.entries.last().is_none_or(|(last, _)| last + ENTRY_STEP <= page.start) {
            link.entries.push((page.start, audio.entry));
        }
        if audio.gap > 0
            && let Some(codec) = packets.codec()
        {
            let missing = audio.gap as f64 / f64::from(codec.rate());
            let refused = || Problem::Malformed { seconds, detail: "pages are missing".into() };
            self.file.notices.missing(seconds, missing, "pages are missing", refused)?;
        }
        Ok(())
    }

    /// Length in seconds so far.
    fn now(&mut self) -> f64 {
        let stream = self.group.as_mut().and_then(|group| group.stream.as_mut());
        let within = stream.map_or(0.0, |(packets, _)| {
            let frames = packets.frames() as f64;
            packets.codec().map_or(0.0, |codec| frames / f64::from(codec.rate()))
        });
        self.seconds + within
    }

    /// Ends the current link at byte `end`. `cut`: the page in which the file ends.
    fn finish(&mut self, end: u64, cut: Option<CutPage>) -> Result<(), Problem> {
        let at = self.now();
        let Some(group) = self.group.take() else { return Ok(()) };
        let Some((mut packets, mut link)) = group.stream else {
            return match group.other {
                Some(name) => Err(Problem::Unsupported(format!("ogg with {name}"))),
                // Pictures, text or an index.
                None => Ok(()),
            };
        };
        let frames = packets.frames();
        let after_cut = cut
            .filter(|cut| cut.serial == link.serial)
            .map(|cut| cut.granule.map_or(0, |granule| packets.frames_until(granule)));
        let ended = packets.ended() && after_cut.is_none();
        let skip = packets.skip();
        let layout = packets.codec().map(|codec| (codec.rate(), codec.channels()));
        let Some((rate, channels)) = layout else {
            let refused = || Problem::Truncated("it ends inside its headers".into());
            return self.file.notices.end_not_marked(refused);
        };
        if !ended {
            let missing = after_cut.unwrap_or(0) as f64 / f64::from(rate);
            if missing > 0.0 {
                let refused = || Problem::Truncated(format!("its last {missing:.3} s are missing"));
                self.file.notices.missing(at, missing, "its last page is cut short", refused)?;
            } else {
                let refused = || Problem::Truncated("its last page is missing".into());
                self.file.notices.end_not_marked(refused)?;
            }
        }
        let strays = std::mem::take(&mut self.strays);
        if strays.last.is_some() {
            let missing = strays.frames as f64 / f64::from(rate);
            let detail = "the headers of a stream are missing";
            let refused = || Problem::Malformed { seconds: strays.at, detail: detail.into() };
            self.file.notices.missing(strays.at, missing.max(f64::MIN_POSITIVE), detail, refused)?;
        }
        if frames > 0 {
            link.range.end = end;
            link.skip = skip;
            link.entries.shrink_to_fit();
            self.file.links.push(link);
            self.file.sections.push(Section { rate, channels, frames });
            self.seconds = at;
        }
        check_count(self.file.links.len())
    }
}

impl Strays {
    fn take(&mut self, page: &Page, now: f64) {
        let Some(granule) = page.granule else { return };
        if self.last.is_none() {
            self.at = now;
        }
        if let Some((serial, last)) = self.last
            && serial == page.serial
        {
            // 192 kHz, because the rate is not known.
            let step = granule.saturating_sub(last).clamp(0, MAX_STEP * 192_000);
            self.frames = self.frames.saturating_add(step);
        }
        self.last = Some((page.serial, granule));
    }
}
