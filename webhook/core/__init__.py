"""What alertmend decides, as pure code: no clock, no input or output, no third party but RE2."""
