"""Letters of any case, as the reference engine sees them: letter by letter of the pattern, by Unicode without locale.

Each letter of the pattern stands for itself, its lower and its upper form, and a form may be longer: a `ß` in the
pattern also takes `SS`, an `ss` in the pattern does not take `ß`. So this is no folding of both sides, and a text
matches if it can be read along the pattern's letters. The reading keeps the set of places it may have come to, which
is nearly always one. The engine looks at halves of surrogate pairs and so never matches an emoji; we see whole characters.
"""

Letters = tuple[tuple[str, ...], ...]


def forms(text: str) -> Letters:
    """The forms of each letter of `text`, the letter itself first."""
    return tuple(tuple(dict.fromkeys((letter, letter.lower(), letter.upper()))) for letter in text)


def fold_apart(letters: Letters) -> bool:
    """Whether forms of a letter have different case foldings, so that not all texts that match fold alike."""
    return any(len({form.casefold() for form in letter}) > 1 for letter in letters)


def equal(letters: Letters, text: str) -> bool:
    return len(text) in _ends(letters, text)


def open_(letters: Letters, text: str) -> bool:
    """Whether `text` begins so."""
    return bool(_ends(letters, text))


def close(letters: Letters, text: str) -> bool:
    """Whether `text` ends so."""
    backwards = tuple(tuple(form[::-1] for form in letter) for letter in reversed(letters))
    return open_(backwards, text[::-1])


def _ends(letters: Letters, text: str) -> set[int]:
    """Every place in `text` to which a reading of the letters from its beginning may come."""
    places = {0}
    for letter in letters:
        places = {place + len(form) for place in places for form in letter if text.startswith(form, place)}
        if not places:
            break
    return places
