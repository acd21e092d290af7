// The map from positions of sequences to tokens of the plane [b, t, f].

// The kind of sequence: one bin over all frames, one frame over all bins, or a window of frames and bins.
const TIME: u32 = 0u;
const FREQUENCY: u32 = 1u;
const WINDOW: u32 = 2u;
const SEQUENCES: u32 = 0u;

// For windows: the frames and bins of a window, and of the cyclic shift.
const WINDOW_FRAMES: u32 = 8u;
const WINDOW_BINS: u32 = 8u;
const SHIFT_FRAMES: u32 = 4u;
const SHIFT_BINS: u32 = 4u;

// The token and the region of a position outside the plane. No token has this region.
const NO_TOKEN: u32 = 0xffffffffu;
const NO_REGION: u32 = 0xffffffffu;

struct Plane {
    frames: u32,
    bins: u32,
}

// A token and its region. Tokens of a sequence attend to each other if their regions are equal.
struct Place {
    token: u32,
    region: u32,
}

// The number of positions of one sequence.
fn sequence_length(plane: Plane) -> u32 {
    switch SEQUENCES {
        case TIME: { return plane.frames; }
        case FREQUENCY: { return plane.bins; }
        default: { return WINDOW_FRAMES * WINDOW_BINS; }
    }
}

fn place_from_position(plane: Plane, sequence: u32, position: u32) -> Place {
    if position >= sequence_length(plane) {
        return Place(NO_TOKEN, NO_REGION);
    }
    switch SEQUENCES {
        case TIME: {
            let batch = sequence / plane.bins;
            return Place((batch * plane.frames + position) * plane.bins + sequence % plane.bins, 0u);
        }
        case FREQUENCY: { return Place(sequence * plane.bins + position, 0u); }
        default: { return place_in_window(plane, sequence, position); }
    }
}

// Shifted windows (Swin): the plane is padded to whole windows and cyclically shifted by −shift, and then windows tile
// it. Tokens that the cyclic shift brings from the opposite edge form a separate region.
fn place_in_window(plane: Plane, window: u32, position: u32) -> Place {
    let rows = (plane.frames + WINDOW_FRAMES - 1u) / WINDOW_FRAMES;
    let columns = (plane.bins + WINDOW_BINS - 1u) / WINDOW_BINS;
    let batch = window / (rows * columns);
    let row = (window / columns) % rows;
    let column = window % columns;

    var frame = row * WINDOW_FRAMES + position / WINDOW_BINS + SHIFT_FRAMES;
    var bin = column * WINDOW_BINS + position % WINDOW_BINS + SHIFT_BINS;
    var region = 0u;
    if frame >= rows * WINDOW_FRAMES {
        frame -= rows * WINDOW_FRAMES;
        region += 1u;
    }
    if bin >= columns * WINDOW_BINS {
        bin -= columns * WINDOW_BINS;
        region += 2u;
    }
    if frame >= plane.frames || bin >= plane.bins {
        return Place(NO_TOKEN, NO_REGION);
    }
    return Place((batch * plane.frames + frame) * plane.bins + bin, region);
}

// The number of entries of one head's relative-position table: offsets from −(size − 1) to size − 1 on each axis.
fn relative_entries() -> u32 {
    return (2u * WINDOW_FRAMES - 1u) * (2u * WINDOW_BINS - 1u);
}

// The index in the table for a query and a key of one window.
fn relative_entry(query: u32, key: u32) -> u32 {
    let frame = query / WINDOW_BINS + WINDOW_FRAMES - 1u - key / WINDOW_BINS;
    let bin = query % WINDOW_BINS + WINDOW_BINS - 1u - key % WINDOW_BINS;
    return frame * (2u * WINDOW_BINS - 1u) + bin;
}
