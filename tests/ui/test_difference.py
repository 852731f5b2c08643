"""Word by word: what only one answer says is marked in it."""

from ui.difference import difference


def test_words_are_compared_not_characters():
    found = difference("Your boat is called Tulip.", "Your dog is called Rex.")
    assert found.left == "Your <del>boat</del> is called <del>Tulip</del>."
    assert found.right == "Your <ins>dog</ins> is called <ins>Rex</ins>."
    assert (found.shared, found.counts) == (3, (5, 5))


def test_case_is_no_difference_and_scripts_without_spaces_have_words():
    assert difference("Tulip", "tulip").shared == 1
    found = difference("我的船", "我的狗")
    assert (found.left, found.right, found.shared) == ("我的<del>船</del>", "我的<ins>狗</ins>", 2)


def test_foreign_text_is_escaped():
    found = difference("<b>x</b>", "<i>")
    assert "<b>" not in found.left and "<i>" not in found.right
    assert "&lt;" in found.left


def test_nothing_and_the_same():
    assert difference("", "").counts == (0, 0)
    assert difference("a b", "a b").left == "a b"
