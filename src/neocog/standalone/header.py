"""The C99 header of a compiled network, and a README that says how it is called."""

from __future__ import annotations

from neocog.emit.choice import LEVELS, version_of
from neocog.emit.resize import LONG, MOST_SIDE
from neocog.errors import SettingError
from neocog.model.network import Network
from neocog.standalone.code import ABI_VERSION, Code
from neocog.text import printable

_MOST_NAMES = 50
_OF_C = (  # headers: ISO/IEC 9899:2011, 7.1.2
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic "
    "stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype"
)
_CHANNELS = {1: "grey", 3: "red, green, blue", 4: "red, green, blue, opacity"}


def check_header_name(name: str) -> None:
    """Check that a header may be called NAME.h.

    Raises:
        SettingError: C has a header of its own that is called so, which `-I` would hide.
    """
    if name in _OF_C.split():
        raise SettingError(f"{name}.h is a header of C itself", hint=f"say --name {name}_net, or the like")


def header_of(code: Code, network: Network) -> str:
    """Return the text of `NAME.h`."""
    height, width, channels = network.input_shape
    prefix, macro = code.prefix, code.prefix.upper()
    meaning = _CHANNELS.get(channels, f"{channels} channels")
    return f"""/* A network for images of {height} x {width} pixels, compiled by neocog for {code.target_name}.
 * {_arithmetic(code)}
 *
 * Nothing is allocated and nothing is kept from call to call: calls at the same time need an arena each, and no more.
{_unchecked(code)} */
#ifndef {macro}_H
#define {macro}_H

#include <stddef.h>
#include <stdint.h>

#define {macro}_ABI_VERSION {ABI_VERSION}
#define {macro}_INPUT_H {height}
#define {macro}_INPUT_W {width}
#define {macro}_INPUT_C {channels} /* {meaning} */
#define {macro}_NUM_CLASSES {len(network.class_names)}
#define {macro}_ARENA_BYTES {code.arena_bytes} /* of memory that a call works in, wherever it begins */
#define {macro}_WEIGHT_BYTES {code.constant_bytes} /* read-only, in the object */
{_code_size(code)}
#ifdef __cplusplus
extern "C" {{
#endif

/* What the classes are called, in UTF-8. */
extern const char *const {prefix}_class_names[{macro}_NUM_CLASSES];

/* Classify an image.
 *
 * image          {macro}_INPUT_H rows of {macro}_INPUT_W pixels
 *                of {macro}_INPUT_C bytes, 0 to 255, as they are read from a file
 * probabilities  {macro}_NUM_CLASSES of them are written, from 0 to 1
 * arena          {macro}_ARENA_BYTES bytes to work in; what they hold before does not matter
 *
{_returns(network)}
 */
int {prefix}_predict(const uint8_t *image, float *probabilities, void *arena);
{_versions(code)}{_resize(code, network)}
#ifdef __cplusplus
}}
#endif

#endif
"""


def _versions(code: Code) -> str:
    """Return the declarations of versions, where there are several."""
    if not code.target.levels:
        return ""
    prefix, macro = code.prefix, code.prefix.upper()
    macros = "\n".join(f"#define {macro}_{level.upper()} {number}" for number, level in enumerate(LEVELS))
    takes = "(const uint8_t *image, float *probabilities, void *arena)"
    functions = "\n".join(f"int {version_of(prefix, level)}{takes};" for level in LEVELS)
    return f"""
/* The above is one of these: the loader chooses when the program begins, by an indirect function (glibc does so, musl
 * does not). Without such a loader, ask for the level once, keep it, and call the version of that level, or of a lower
 * one. Asking takes microseconds where a virtual machine intercepts it. Whoever links the object sees the versions;
 * a shared library that holds it shows them to nobody.
 */
{macros}
int {prefix}_level(void);
{functions}
"""


def _resize(code: Code, network: Network) -> str:
    """Return the declaration of what brings pictures to the network's size, where there is such."""
    if code.fitting is None:
        return ""
    prefix, macro = code.prefix, code.prefix.upper()
    side, limit = code.fitting.side, ""
    if side is not None and side * MOST_SIDE >= LONG:  # which no picture reaches otherwise
        limit = f";\n *                the longer one times {side}, over the shorter one, below {LONG}"
    return f"""
/* Bring a picture of any size to the network's, by the rule {network.resize} and with Pillow's arithmetic:
 * the image that it gets is that which `neocog predict` looks at.
 *
 * picture        height rows of width pixels of 1 byte (grey) or 3 bytes (red, green, blue);
 *                sides of 1 to {MOST_SIDE}{limit}
 * image          what {prefix}_predict takes
 * memory         {macro}_RESIZE_BYTES(height, width) bytes to work in, wherever they begin
 *
 * Returns 0, or -1 where the picture has other channels or sides; then nothing is written.
 */
#define {macro}_RESIZE_BYTES(height, width) \\
    ({code.fitting.memory_a_side} * ((size_t)(height) + (size_t)(width)) + {code.fitting.memory_at_least})
int {prefix}_resize(const uint8_t *picture, int32_t height, int32_t width, int32_t channels, uint8_t *image,
                    void *memory);
"""


def _code_size(code: Code) -> str:
    """Return a line with the size of the code, where it is known."""
    return "" if code.file is None else f"#define {code.prefix.upper()}_CODE_BYTES {code.file.code} /* likewise */\n"


def _returns(network: Network) -> str:
    if network.loss.several_labels:
        thresholds = network.thresholds
        above = "a half" if thresholds is None else ", ".join(f"{value:.6g}" for value in thresholds)
        return f""" * Returns how many labels the image is given: those with a probability above
 * {above}."""
    if network.reject_below is None:
        return " * Returns the most probable class, which is a number for class_names."
    return f""" * Returns the most probable class, which is a number for class_names;
 * -1 where its probability is below {network.reject_below:.6g}: unknown."""


def readme_of(code: Code, network: Network) -> str:
    """Return the text of `README.md`."""
    height, width, channels = network.input_shape
    prefix, macro, name = code.prefix, code.prefix.upper(), code.name
    sizes = [
        f"| weights, read-only | {code.constant_bytes:,} |",
        f"| arena, lent by the caller | {code.arena_bytes:,} |",
    ]
    if code.file is not None:
        sizes.insert(0, f"| code | {code.file.code:,} |")
    return f"""# {name}

A network that classifies images of {height} x {width} pixels with {channels} channels into {len(network.class_names)}
classes, as machine code for {code.target_name}: {code.target.about}.
neocog compiled it, and it needs nothing of neocog.

| bytes | |
|---|---|
{chr(10).join(sizes)}

## Use

```c
#include <stdio.h>
#include "{name}.h"

static uint8_t image[{macro}_INPUT_H * {macro}_INPUT_W * {macro}_INPUT_C];
static unsigned char arena[{macro}_ARENA_BYTES];

int main(void)
{{
    float probabilities[{macro}_NUM_CLASSES];
    if (fread(image, 1, sizeof image, stdin) != sizeof image)
        return 1;
    int answer = {prefix}_predict(image, probabilities, arena);
    {_shown(network, prefix)}
    return 0;
}}
```

```sh
{_build(code)}
```

Pixels are bytes, row by row, channels side by side. {_sizes(code, network)}
All else is inside: normalisation, {_inside(network)}. {_arithmetic(code)}

The code calls nothing but what C compilers themselves may call ({_calls(code)}), allocates nothing, starts no
thread, and keeps nothing from call to call.{_doubt(code)}
{_versions_shown(code)}{_verified(code)}
Classes: {_classes(network)}
"""


def _arithmetic(code: Code) -> str:
    """Return what the network computes in."""
    if code.precision == "int8":
        return "It computes in int8, and answers as `--precision int8` does."
    return "It computes in float32."


def _unchecked(code: Code) -> str:
    """Return what the header says where nobody has looked into the file."""
    return "" if code.file is not None else " * neocog made it so, but checks that in ELF objects alone.\n"


def _doubt(code: Code) -> str:
    """Return what the README says of that."""
    return (
        ""
        if code.file is not None
        else "\nneocog made it so, but checks that in ELF objects alone, of which this is none."
    )


def _versions_shown(code: Code) -> str:
    """Return how a version is chosen, where there are several."""
    if not code.target.levels:
        return ""
    prefix, macro = code.prefix, code.prefix.upper()
    best, middle = LEVELS[2].upper(), LEVELS[1].upper()
    return f"""
It holds a version each for {", ".join(LEVELS)}. `{prefix}_predict` is an indirect function: the loader, which must know
such (glibc does, musl does not), chooses when the program begins. Elsewhere call none by that name, and choose once:

```c
int level = {prefix}_level();
int (*predict)(const uint8_t *, float *, void *) = level >= {macro}_{best} ? {version_of(prefix, LEVELS[2])}
    : level >= {macro}_{middle} ? {version_of(prefix, LEVELS[1])} : {version_of(prefix, LEVELS[0])};
```
"""


def _sizes(code: Code, network: Network) -> str:
    """Return what becomes of pictures of other sizes."""
    height, width, _ = network.input_shape
    if code.fitting is None:
        return f"""Pictures of other sizes must be brought to {height} x {width}
first; when the network was trained, that was done by the rule `{network.resize}` (of Pillow's filters)."""
    return f"""Pictures of other sizes, grey or RGB, are brought to {height} x {width}
by `{code.prefix}_resize`, by the rule `{network.resize}` as when the network was trained.
What does not call it may leave it out: with -Wl,--gc-sections."""


def _inside(network: Network) -> str:
    parts = ["softmax" if not network.loss.several_labels else "sigmoids"]
    if network.temperature != 1.0:
        parts.append(f"the temperature {network.temperature:.4g}")
    if network.reject_below is not None:
        parts.append('the threshold of "unknown"')
    if network.views != "plain":
        parts.append(f"the views {network.views}")
    return ", ".join(parts)


def _shown(network: Network, prefix: str) -> str:
    """Return C that shows an answer."""
    if network.loss.several_labels:
        return f'printf("%d labels; %s: %g\\n", answer, {prefix}_class_names[0], probabilities[0]);'
    return f'printf("%s\\n", answer < 0 ? "unknown" : {prefix}_class_names[answer]);'


def _classes(network: Network) -> str:
    names = ", ".join(map(printable, network.class_names[:_MOST_NAMES]))
    return names if len(network.class_names) <= _MOST_NAMES else f"{names}, ..."


def _calls(code: Code) -> str:
    if code.file is None:
        return "memcpy, memmove, memset, memcmp"
    return f"here {', '.join(code.file.undefined)}" if code.file.undefined else "here none of them"


def _build(code: Code) -> str:
    """Return the commands that build the example."""
    words = " ".join(("", *code.target.compiler))
    if code.form == "llvm":
        return f"clang -O2{words} main.c {code.name}.ll -o main"
    if code.target.target.architecture == "wasm":
        form = ".s" if code.form == "asm" else ".o"
        return f"clang --target=wasm32-wasi main.c {code.name}{form} -o main.wasm   # of wasi-sdk"
    if code.target_name.startswith("cortex-"):
        # Where code and data lie, and what printf means, is the board's matter.
        form = ".s" if code.form == "asm" else ".o"
        return f"arm-none-eabi-gcc{words} main.c {code.name}{form} -T BOARD.ld -o main.elf   # BOARD.ld: your board's"
    return f"cc{words} main.c {code.name}{'.s' if code.form == 'asm' else '.o'} -o main"


def _verified(code: Code) -> str:
    """Return how the answers are compared with the model's, where that can be."""
    if code.form != "object" or code.target.target.architecture == "wasm":
        return ""
    return """
`neocog verify` builds a program around it, lets it answer images, and compares the answers with the model's:

```sh
neocog verify . MODEL
```
"""
