//! The part of COCO's annotation format (Lin et al., 2014) that says what is in pictures, and where.
use serde::Deserialize;

/// A file of annotations.
#[derive(Clone, Debug, Deserialize)]
pub struct Coco {
    /// The pictures.
    pub images: Vec<Image>,
    /// What is in them.
    pub annotations: Vec<Annotation>,
    /// What things are called.
    pub categories: Vec<Category>,
}

/// A picture.
#[derive(Clone, Debug, Deserialize)]
pub struct Image {
    /// Its number.
    pub id: u64,
    /// Its file, relative to the pictures' folder.
    pub file_name: String,
}

/// A thing in a picture.
#[derive(Clone, Debug, Deserialize)]
pub struct Annotation {
    /// The picture.
    pub image_id: u64,
    /// What it is.
    pub category_id: u64,
    /// Left edge, upper edge, width and height in pixels.
    pub bbox: Option<[f64; 4]>,
    /// 1 around many things at once.
    #[serde(default)]
    pub iscrowd: u8,
}

/// A kind of things.
#[derive(Clone, Debug, Deserialize)]
pub struct Category {
    /// Its number.
    pub id: u64,
    /// What it is called.
    pub name: String,
}
