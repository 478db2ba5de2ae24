//! What a page draws: its characters with their places, and enough of the rest to tell a scan.

use std::collections::HashSet;

use hayro_interpret::font::Glyph as Drawn;
use hayro_interpret::font::GlyphRun;
use hayro_interpret::hayro_cmap::BfString;
use hayro_interpret::kurbo::{Affine, BezPath, PathEl, Point};
use hayro_interpret::{BlendMode, ClipPath, Device, DrawMode, DrawProps, Image, ImageDrawProps, SoftMask};

use crate::document::PageState;

/// A full-page image, or outlines, with fewer visible letters than this over it is a scan with a stamp or a running title.
const STAMP: usize = 300;
/// Share of the page that an image, or the strips of one, covers when it is the page.
const COVERED: f64 = 0.6;
/// Words drawn as outlines, rather than rules, frames and a logo: many segments in many of the bands of the page.
const BANDS: usize = 20;
const BAND: usize = 100;
const OUTLINED: usize = 5;
/// Characters of a page past which it is no page.
const MANY: usize = 2_000_000;

/// A character, upright: `x` grows along its line, `y` down.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Glyph {
    pub x: f64,
    pub y: f64,
    /// Where the next character would be.
    pub end: f64,
    pub size: f64,
    /// Quarter turns of the line it is on.
    pub turn: u8,
    pub text: String,
}

pub(super) struct Glyphs {
    pub all: Vec<Glyph>,
    width: f64,
    height: f64,
    /// To tell a character drawn twice: outlined and filled, or shifted to look bold.
    seen: HashSet<(i64, i64, u8, String)>,
    letters: usize,
    /// Letters that only text extraction sees: the layer that OCR puts on a scan.
    hidden: usize,
    /// Characters whose font does not say which they are.
    unknown: usize,
    images: f64,
    /// Segments of paths, by height on the page.
    segments: [usize; BANDS],
}

impl Glyphs {
    pub fn new(width: f64, height: f64) -> Glyphs {
        Glyphs {
            all: Vec::new(),
            width: width.max(1.0),
            height: height.max(1.0),
            seen: HashSet::new(),
            letters: 0,
            hidden: 0,
            unknown: 0,
            images: 0.0,
            segments: [0; BANDS],
        }
    }

    pub fn state(&self) -> PageState {
        let covered = self.images / (self.width * self.height);
        let outlined = self.segments.iter().filter(|segments| **segments >= BAND).count() >= OUTLINED;
        match self.letters + self.hidden {
            0 if covered > 0.02 || outlined || self.unknown > 0 => PageState::Scan,
            0 => PageState::Empty,
            letters if self.unknown * 2 > letters => PageState::Scan,
            _ if (covered > COVERED || outlined) && self.hidden == 0 && self.letters < STAMP => PageState::Scan,
            _ => PageState::Text,
        }
    }

    fn glyph(&mut self, glyph: &Drawn<'_>, transform: Affine, mode: &DrawMode) {
        let advance = match glyph {
            Drawn::Outline(outline) => outline.advance_width(),
            Drawn::Type3(_) => None,
        };
        let origin = transform * Point::ZERO;
        let along = transform * Point::new(1000.0, 0.0) - origin;
        let up = transform * Point::new(0.0, 1000.0) - origin;
        let size = up.hypot();
        if !origin.x.is_finite() || !origin.y.is_finite() || !size.is_normal() || self.all.len() >= MANY {
            return;
        }
        let text = match glyph.as_unicode() {
            Some(BfString::Char(c)) => c.to_string(),
            Some(BfString::String(text)) => text,
            None => {
                self.unknown += 1;
                return;
            }
        };
        // Upright text has its line along x; the quarter turns bring the others there.
        let (turn, x, y) = match (along.x.abs() >= along.y.abs(), along.x >= 0.0, along.y >= 0.0) {
            (true, true, _) => (0, origin.x, origin.y),
            (false, _, true) => (1, origin.y, -origin.x),
            (true, false, _) => (2, -origin.x, -origin.y),
            (false, _, false) => (3, -origin.y, origin.x),
        };
        let width = f64::from(advance.unwrap_or(500.0)) / 1000.0 * along.hypot();
        // A fifth of its size apart, the same character is another one.
        let step = size / 5.0;
        let place = ((x / step).round() as i64, (y / step).round() as i64, turn, text.clone());
        if text.trim().is_empty() || self.seen.insert(place) {
            let letters = text.chars().filter(|c| c.is_alphanumeric()).count();
            match mode {
                DrawMode::Invisible => self.hidden += letters,
                _ => self.letters += letters,
            }
            self.all.push(Glyph { x, y, end: x + width, size, turn, text });
        }
    }

    fn image(&mut self, transform: Affine, width: u32, height: u32) {
        // Image space: hayro scales it by the pixels of the image.
        let area = transform.determinant().abs() * f64::from(width) * f64::from(height);
        let page = self.width * self.height;
        self.images += if area.is_finite() { area.min(page) } else { 0.0 };
    }
}

impl<'a> Device<'a> for Glyphs {
    fn draw_path(&mut self, path: &BezPath, props: DrawProps<'a>, _: &DrawMode) {
        for point in path.elements().iter().filter_map(PathEl::end_point) {
            let height = (props.transform * point).y / self.height;
            if (0.0..1.0).contains(&height)
                && let Some(segments) = self.segments.get_mut((height * BANDS as f64) as usize)
            {
                *segments += 1;
            }
        }
    }

    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, 'a>, props: DrawProps<'a>, mode: &DrawMode) {
        for glyph in run.glyphs() {
            self.glyph(glyph, props.transform * glyph.transform(), mode);
        }
    }

    fn draw_image(&mut self, image: Image<'a, '_>, props: ImageDrawProps<'a>) {
        self.image(props.transform, image.width(), image.height());
    }

    fn push_clip_path(&mut self, _: &ClipPath) {}
    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'a>>, _: BlendMode) {}
    fn pop_clip(&mut self) {}
    fn pop_transparency_group(&mut self) {}
}
