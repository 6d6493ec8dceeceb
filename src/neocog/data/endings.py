"""What the name of a file says of it: that it is an image, a picture in a format that is not read, or surely none."""

IMAGE_EXTENSIONS = (
    *(".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif"),
    *(".jfif", ".jpe", ".jif", ".pnm", ".pbm", ".apng"),
)
"""Endings of files that are taken as images, compared without regard to case."""

PICTURES = {
    **dict.fromkeys((".heic", ".heics", ".heif", ".heifs", ".hif"), "HEIC"),
    **dict.fromkeys((".avif", ".avifs"), "AVIF"),
    ".jxl": "JPEG XL",
    **dict.fromkeys((".jp2", ".j2k", ".jpx", ".jpf"), "JPEG 2000"),
    **dict.fromkeys((".svg", ".svgz"), "SVG"),
    **dict.fromkeys((".psd", ".psb"), "Photoshop"),
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"), "camera raw"),
    ".ico": "ICO",
    ".tga": "TGA",
    ".pcx": "PCX",
    ".exr": "OpenEXR",
    ".dcm": "DICOM",
}
"""Endings of pictures in formats that are not read, and the format."""

NO_IMAGES = (
    *(".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".log", ".md"),
    *(".rst", ".html", ".htm", ".css", ".js", ".py", ".pyc", ".ipynb", ".c", ".h", ".cpp", ".sh", ".bat", ".m"),
    *(".pdf", ".doc", ".docx", ".xls", ".xlsx", ".ods", ".ppt", ".pptx", ".rtf", ".lnk", ".url", ".exe", ".dll"),
    *(".npy", ".npz", ".pt", ".pth", ".onnx", ".safetensors", ".h5", ".hdf5", ".pkl", ".mat", ".parquet", ".arrow"),
    *(".db", ".sqlite", ".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".zst", ".7z", ".rar", ".xmp", ".aae"),
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mp3", ".wav", ".m4a", ".flac"),
    *(".bak", ".orig", ".tmp", ".part", ".crdownload", "~"),  # copies and halves of files
)
"""Endings that say what a file is so surely that it need not be opened."""


def has_image_ending(name: str) -> bool:
    """Whether a file is called like an image, and not hidden."""
    return name.lower().endswith(IMAGE_EXTENSIONS) and not name.startswith(".")
