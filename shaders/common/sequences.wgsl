// Where the positions of a sequence lie on the plane of tokens [b, t, f].

// What a sequence is: one bin over all frames, one frame over all bins, or a window of both.
const TIME: u32 = 0u;
const FREQUENCY: u32 = 1u;
const WINDOW: u32 = 2u;
const SEQUENCES: u32 = 0u;

// Windows only: frames and bins of a window, and of the cyclic shift.
const WINDOW_FRAMES: u32 = 8u;
const WINDOW_BINS: u32 = 8u;
const SHIFT_FRAMES: u32 = 4u;
const SHIFT_BINS: u32 = 4u;

// A position that lies off the plane. Its region is that of nothing.
const NO_TOKEN: u32 = 0xffffffffu;
const NO_REGION: u32 = 0xffffffffu;

struct Plane {
    frames: u32,
    bins: u32,
}

// A token, and its region: tokens attend to each other where their regions are equal.
struct Place {
    token: u32,
    region: u32,
}

// Positions of one sequence.
fn sequence_length(plane: Plane) -> u32 {
    switch SEQUENCES {
        case TIME: { return plane.frames; }
        case FREQUENCY: { return plane.bins; }
        default: { return WINDOW_FRAMES * WINDOW_BINS; }
    }
}

// The same from memory of the workgroup. Browsers let a loop hold a barrier only where they can prove that all
// invocations leave it together, and what is read from a storage buffer proves nothing.
var<workgroup> shared_length: u32;

fn uniform_sequence_length(plane: Plane, lane: u32) -> u32 {
    if lane == 0u {
        shared_length = sequence_length(plane);
    }
    return workgroupUniformLoad(&shared_length);
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

// Shifted windows (Swin): windows tile the plane after it was rolled back by the shift, its edges first
// padded to whole windows. What the roll brought from the far edge is another region than what lies beside it.
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

// Entries of one head's relative-position table: offsets from −(size − 1) to size − 1 on each axis.
fn relative_entries() -> u32 {
    return (2u * WINDOW_FRAMES - 1u) * (2u * WINDOW_BINS - 1u);
}

// Entry of the table for a query and a key of one window.
fn relative_entry(query: u32, key: u32) -> u32 {
    let frame = query / WINDOW_BINS + WINDOW_FRAMES - 1u - key / WINDOW_BINS;
    let bin = query % WINDOW_BINS + WINDOW_BINS - 1u - key % WINDOW_BINS;
    return frame * (2u * WINDOW_BINS - 1u) + bin;
}
