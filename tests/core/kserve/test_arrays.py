"""Values as arrays, and arrays to the contents of tensors: any array survives the way there and back."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from core.kserve.dlpack import OnlyDLPack
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nupic_client._core.kserve.arrays import (
    DTYPES,
    as_array,
    content_of,
)
from nupic_client._core.kserve.output_arrays import from_raw
from nupic_client.errors import ConfigurationError

SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


def there_and_back(datatype, value, text="str"):
    array = as_array("x", datatype, value)
    return from_raw(datatype, array.shape, bytes(content_of(datatype, array)), text)


@given(st.data())
def test_numbers_survive(data):
    datatype = data.draw(st.sampled_from(sorted(DTYPES)))
    value = data.draw(arrays.arrays(DTYPES[datatype], SHAPES))
    np.testing.assert_array_equal(there_and_back(datatype, value), value)


@given(st.data())
def test_transposed_and_strided_arrays_survive(data):
    datatype = data.draw(st.sampled_from(sorted(DTYPES)))
    value = data.draw(arrays.arrays(DTYPES[datatype], (4, 6)))[::2, ::-1].T
    np.testing.assert_array_equal(there_and_back(datatype, value), value)


@given(
    arrays.arrays(object, SHAPES, elements=st.text(st.characters(exclude_categories=["Cs"])) | st.binary())
)
def test_texts_and_bytes_survive(value):
    wanted = [item if isinstance(item, bytes) else item.encode() for item in value.ravel()]
    back = there_and_back("BYTES", value, "bytes")
    assert back.shape == value.shape
    assert list(back.ravel()) == wanted


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_arrays_of_str_are_texts(texts):
    value = np.array(texts, dtype=str)
    assert there_and_back("BYTES", value).tolist() == value.tolist()


def test_arrays_of_fixed_bytes_are_bytes():
    assert there_and_back("BYTES", np.array([b"a", b"bc"]), "bytes").tolist() == [b"a", b"bc"]


@given(arrays.arrays(np.float32, SHAPES))
def test_bfloat16_is_rounded_as_others_round_it(value):
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = value.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(there_and_back("BF16", value), wanted)


@given(st.integers(0, 0xFFFF))
def test_every_bfloat16_survives(bits):
    value = np.array([bits], np.uint16).view(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(there_and_back("BF16", value), value.astype(np.float32))


@given(st.sampled_from([name for name in DTYPES if "INT" in name]), st.integers(-(2**65), 2**65))
def test_a_whole_number_goes_out_as_it_is_or_not_at_all(datatype, number):
    info = np.iinfo(DTYPES[datatype])
    if info.min <= number <= info.max:
        assert there_and_back(datatype, number).item() == number
        assert there_and_back(datatype, [[number]]).tolist() == [[number]]
    else:
        with pytest.raises(ConfigurationError, match=f"must be {datatype}"):
            as_array("x", datatype, number)


@given(st.sampled_from(["FP16", "FP32", "FP64"]), st.floats())
def test_a_float_goes_out_rounded_but_never_becomes_infinite(datatype, number):
    with np.errstate(over="ignore"):
        wanted = DTYPES[datatype].type(number)
    if math.isfinite(number) and not np.isfinite(wanted):
        with pytest.raises(ConfigurationError, match="does not fit"):
            as_array("x", datatype, number)
    else:
        np.testing.assert_array_equal(there_and_back(datatype, number), wanted)


@pytest.mark.parametrize("value", [[], [[]], (), range(0)])
def test_an_empty_list_is_of_any_type(value):
    for datatype in (*DTYPES, "BF16"):
        assert as_array("x", datatype, value).size == 0


def test_a_list_of_arrays_has_their_type():
    value = [np.float32([1, 2]), np.float32([3, 4])]
    assert as_array("x", "FP32", value).shape == (2, 2)
    with pytest.raises(ConfigurationError, match="not an array of float32"):
        as_array("x", "FP64", value)


def test_a_number_of_numpys_is_not_a_plain_one():
    with pytest.raises(ConfigurationError, match="not an array of float64"):
        as_array("x", "FP32", np.float64(1))


def test_whole_numbers_may_be_floats():
    assert there_and_back("BF16", [1, 2]).tolist() == [1, 2]
    assert there_and_back("FP32", range(3)).tolist() == [0, 1, 2]


def test_a_data_type_of_a_newer_server_cannot_be_sent():
    with pytest.raises(ConfigurationError, match="TYPE_99, which this client cannot send"):
        as_array("x", "TYPE_99", 1)


def test_numbers_are_not_copied():
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.shares_memory(
        np.frombuffer(content_of("FP32", as_array("x", "FP32", value)), np.float32), value
    )


# What is not converted


@pytest.mark.parametrize(
    ("datatype", "value", "words"),
    [
        ("FP32", np.zeros(3), "float64"),
        ("INT32", np.zeros(1, np.int64), "int64"),
        ("BOOL", np.zeros(1, np.uint8), "uint8"),
        ("BF16", np.zeros(1), "float64"),
        ("BF16", np.zeros(1, np.float16), "float16"),
        ("BYTES", np.zeros(1), "float64"),
        ("FP32", np.array(["a"]), "<U1"),
        ("FP32", np.array([None]), "object"),
        ("INT64", np.datetime64("2020-01-01"), "datetime64"),
    ],
)
def test_an_array_of_another_type_is_an_error_with_both_types(datatype, value, words):
    with pytest.raises(ConfigurationError, match="'x'") as caught:
        as_array("x", datatype, value)
    assert datatype in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("value", [1, 1.0, True])
@pytest.mark.parametrize("datatype", ["BOOL", "INT32", "FP32", "BF16"])
def test_of_plain_values_only_whole_numbers_become_another_kind(datatype, value):
    allowed = {"BOOL": {bool}, "INT32": {int}, "FP32": {int, float}, "BF16": {int, float}}
    if type(value) in allowed[datatype]:
        assert there_and_back(datatype, [value, value]).tolist() == [value, value]
    else:
        with pytest.raises(ConfigurationError, match="'x'"):
            as_array("x", datatype, [value, value])


@pytest.mark.parametrize("value", [[1.0, True], [1, True], [0.5, 1]])
def test_mixed_plain_values_are_what_numpy_makes_of_them(value):
    assert there_and_back("FP32", value).tolist() == value


@pytest.mark.parametrize(("datatype", "number"), [("FP32", 2**24 + 1), ("FP16", 2049), ("FP64", 2**53 + 1)])
def test_a_whole_number_that_a_float_cannot_hold_is_an_error_with_the_number(datatype, number):
    with pytest.raises(ConfigurationError, match=f"{number}"):
        as_array("x", datatype, [0, number])
    assert there_and_back(datatype, [0, number - 1]).tolist() == [0, number - 1]


@pytest.mark.parametrize(
    ("datatype", "number"), [("UINT64", -1), ("INT64", 2**63), ("INT8", 128), ("INT64", 2**64)]
)
def test_a_whole_number_out_of_range_among_others_is_an_error(datatype, number):
    with pytest.raises(ConfigurationError, match="'x'"):
        as_array("x", datatype, [0, number])


@pytest.mark.parametrize("value", ["abc", b"abc", "1"])
def test_a_text_is_no_number(value):
    for datatype in (*DTYPES, "BF16"):
        with pytest.raises(ConfigurationError, match=f"'x'.*{datatype}"):
            as_array("x", datatype, value)


def test_a_long_text_is_not_shown_whole():
    for text, shown in (("a" * 20, "a" * 20 + "'"), ("a" * 21, "a" * 20 + "'\u2026")):
        with pytest.raises(ConfigurationError) as caught:
            as_array("x", "FP32", text)
        assert shown in str(caught.value)
        assert "a" * 21 not in str(caught.value)


@pytest.mark.parametrize("datatype", ["FP32", "BF16", "BYTES"])
def test_ragged_lists_are_no_array(datatype):
    with pytest.raises(ConfigurationError, match=f"'x'.*{datatype}"):
        as_array("x", datatype, [[1.0], [1.0, 2.0]])


def test_ragged_arrays_are_no_array_of_texts():
    with pytest.raises(ConfigurationError, match="'x'"):
        as_array("x", "BYTES", [np.zeros((2, 2)), np.zeros((2, 3))])


def test_an_object_that_numpy_cannot_read_is_an_error_with_its_reason():
    class Elsewhere:
        def __array__(self, *args, **kwargs):
            raise TypeError("it is on another device")

    with pytest.raises(ConfigurationError, match="it is on another device"):
        as_array("x", "FP32", Elsewhere())


def test_an_object_that_numpy_can_read_is_an_array():
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            return np.float32([1, 2])

    assert there_and_back("FP32", Tensor()).tolist() == [1, 2]
    with pytest.raises(ConfigurationError, match="float32"):
        as_array("x", "FP64", Tensor())


# Layout


@pytest.mark.parametrize("datatype", [name for name in DTYPES if DTYPES[name].itemsize > 1])
def test_big_endian_and_read_only_arrays_are_sent_little_endian(datatype):
    value = np.array([[1, 2], [3, 4]]).astype(DTYPES[datatype].newbyteorder(">"))
    value.flags.writeable = False
    assert (
        bytes(content_of(datatype, as_array("x", datatype, value)))
        == value.astype(DTYPES[datatype]).tobytes()
    )


@pytest.mark.parametrize("datatype", DTYPES)
@pytest.mark.parametrize("part", [slice(None, None, -1), slice(None, None, 2), slice(1, None)])
def test_a_part_of_an_array_is_sent_in_order(datatype, part):
    value = np.array([1, 0, 0, 1, 1]).astype(DTYPES[datatype])[part]
    content = content_of(datatype, as_array("x", datatype, value))
    assert memoryview(content).c_contiguous
    assert bytes(content) == value.tobytes()


def test_big_endian_floats_are_rounded_to_bfloat16_too():
    assert there_and_back("BF16", np.array([1.5, -2], ">f4")).tolist() == [1.5, -2]


@pytest.mark.parametrize("datatype", [*DTYPES, "BF16"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (1, 1)])
def test_arrays_of_any_shape_keep_it(datatype, shape):
    value = np.ones(shape, DTYPES.get(datatype, "f4"))
    back = there_and_back(datatype, value)
    assert back.shape == shape
    np.testing.assert_array_equal(back, value)


@pytest.mark.parametrize("value", [np.ones((2, 3), np.float32).T, np.ones((4, 4), np.float32)[::2, 1:]])
def test_bfloat16_of_an_array_that_is_not_contiguous(value):
    np.testing.assert_array_equal(there_and_back("BF16", value), value)


# BF16


def test_bfloat16_rounds_to_the_nearest_and_ties_to_even():
    one = 0x3F80
    bits = np.uint32([one << 16 | 0x7FFF, one << 16 | 0x8000, one + 1 << 16 | 0x8000, one << 16 | 0x8001])
    assert as_array("x", "BF16", bits.view(np.float32)).tolist() == [one, one, one + 2, one + 1]


def test_a_float_that_is_nearly_infinite_becomes_infinite_in_bfloat16():
    assert there_and_back("BF16", np.float32([3.4e38, -3.4e38])).tolist() == [math.inf, -math.inf]


@pytest.mark.parametrize("bits", [0x7F800001, 0xFF800001, 0x7FFFFFFF, 0x7FC00000])
def test_no_nan_becomes_a_number_in_bfloat16(bits):
    value = np.uint32([bits]).view(np.float32)
    back = there_and_back("BF16", value)
    assert np.isnan(back).all()
    assert np.signbit(back) == np.signbit(value)


# Texts


@pytest.mark.parametrize(
    "value", ["a", b"a", ["a", b"b"], ("a",), np.array("a"), np.array(["a", "b"], object)]
)
def test_texts_may_be_given_in_many_forms(value):
    assert there_and_back("BYTES", value, "bytes").ravel()[0] == b"a"


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="numpy 1 does not have it")
def test_arrays_of_numpys_own_strings_are_texts():
    value = np.array(["a", "\u00e4"], np.dtypes.StringDType())
    assert there_and_back("BYTES", value).tolist() == ["a", "\u00e4"]


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="numpy 1 does not have it")
@pytest.mark.parametrize("datatype", sorted({*DTYPES} - {"BYTES"}))
def test_arrays_of_numpys_own_strings_are_no_numbers(datatype):
    """numpy raises a TypeError where such an array is asked for another byte order."""
    value = np.array(["1"], np.dtypes.StringDType())
    with pytest.raises(
        ConfigurationError, match=f"input 'x' must be {datatype}, not an array of StringDType"
    ):
        there_and_back(datatype, value)


@pytest.mark.parametrize("value", [1, [1], ["a", None], [True], np.array([1], object), [["a"], [2]]])
def test_what_is_no_text_is_an_error_with_its_type(value):
    with pytest.raises(ConfigurationError, match=r"'x'.*BYTES"):
        as_array("x", "BYTES", value)


@pytest.mark.parametrize("value", ["\ud800", ["a", "b\udfff"]])
def test_a_text_that_utf8_cannot_encode_is_an_error(value):
    with pytest.raises(ConfigurationError, match="UTF-8"):
        as_array("x", "BYTES", value)


def test_a_length_is_little_endian():
    assert content_of("BYTES", as_array("x", "BYTES", ["a" * 300])) == b"\x2c\x01\0\0" + b"a" * 300


# P-F17: plain numbers that numpy would read as floats or objects


BIG = 2**64 - 1


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("UINT64", [[BIG, 1]]),
        ("UINT64", [[1, BIG], [2**63, 0]]),
        ("UINT64", [BIG]),
        ("UINT64", (0, 2**63)),
        ("FP64", [[2**64, 1]]),
        ("FP64", [2**63, 1, 2**100]),
        ("FP64", [-(2**70), 1]),
        ("FP32", [2**64, 1]),
        ("BF16", [2**64, 1]),
        ("INT64", [-(2**63), 2**63 - 1]),
    ],
)
def test_whole_numbers_of_any_size_go_out_as_they_are(datatype, value):
    """P-F17."""
    found = there_and_back(datatype, value)
    assert [int(number) for number in found.ravel()] == list(np.array(value, object).ravel())


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("INT64", [2**63, 1]),
        ("UINT64", [BIG, -1]),
        ("UINT64", [2**64, 1]),
        ("UINT64", [BIG, 1.5]),
        ("FP64", [2**64 + 1, 1]),
        ("FP64", [2**63 + 1, 1]),
        ("FP64", [10**400, 1]),
        ("FP32", [2**200, 1]),
        ("FP16", [2**64, 1]),
        ("INT8", [BIG, 1]),
        ("BOOL", [BIG, 1]),
        ("UINT64", [BIG, None]),
        ("UINT64", [BIG, "1"]),
    ],
)
def test_whole_numbers_that_do_not_fit_are_not_changed(datatype, value):
    """P-F17."""
    with pytest.raises(ConfigurationError, match=f"'x' must be {datatype}"):
        as_array("x", datatype, value)


@given(
    st.sampled_from(["INT8", "INT64", "UINT32", "UINT64"]),
    st.lists(st.integers(-(2**65), 2**65) | st.integers(-5, 5), min_size=1, max_size=4),
)
def test_a_list_of_whole_numbers_goes_out_as_it_is_or_not_at_all(datatype, numbers):
    """P-F17."""
    info = np.iinfo(DTYPES[datatype])
    if all(info.min <= number <= info.max for number in numbers):
        assert there_and_back(datatype, numbers).tolist() == numbers
    else:
        with pytest.raises(ConfigurationError, match=f"must be {datatype}"):
            as_array("x", datatype, numbers)


@pytest.mark.parametrize("value", [np.int64(5), [np.int64(5)], [[np.uint8(5), 5]], np.int8(5)])
def test_whole_numbers_of_numpy_take_the_models_type(value):
    """P-F18."""
    for datatype in ("INT32", "UINT64", "FP32"):
        assert set(there_and_back(datatype, value).ravel().tolist()) == {5}
    with pytest.raises(ConfigurationError, match="does not fit"):
        as_array("x", "INT8", np.int64(500))


# P, case 17: values that numpy would read as something else


def test_an_array_that_only_dlpack_reads_is_read():
    """P, case 17."""
    given = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(there_and_back("FP32", OnlyDLPack(given)), given)
    with pytest.raises(ConfigurationError, match="not an array of float32"):
        as_array("x", "FP64", OnlyDLPack(given))


@pytest.mark.parametrize("error", [BufferError, RuntimeError, TypeError])
def test_an_array_that_cannot_be_read_is_an_error_in_words(error):
    """P, case 17: such as one on a GPU."""

    class Elsewhere(OnlyDLPack):
        def __dlpack__(self, **options):
            raise error("it is on another device")

    with pytest.raises(ConfigurationError, match=r"numpy makes no array of \(it is on another"):
        as_array("x", "FP32", Elsewhere(np.zeros(1)))


@pytest.mark.parametrize(
    "value",
    [
        np.ma.array([1.0, 2.0], mask=[False, True]),
        [np.ma.array([1.0, 2.0], mask=[False, True])],
        [[1.0, 2.0], np.ma.array([1.0, 2.0], mask=[True, True])],
        [1.0, np.ma.masked],
    ],
)
@pytest.mark.parametrize("datatype", ["FP64", "BF16", "INT32", "BYTES"])
def test_a_masked_array_is_refused_in_words(value, datatype):
    """P, case 17: what is under the mask is not to be sent."""
    with pytest.raises(ConfigurationError, match=r"a masked array: give array.filled"):
        as_array("x", datatype, value)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ([[bytearray(b"a"), memoryview(b"bc")]], [[b"a", b"bc"]]),
        ([bytearray(b"ab"), bytearray(b"cd")], [b"ab", b"cd"]),
        ([bytearray()], [b""]),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (["a", b"b", bytearray(b"c")], [b"a", b"b", b"c"]),
        (np.array([bytearray(b"a"), memoryview(b"b"), "c"], dtype=object), [b"a", b"b", b"c"]),
    ],
)
def test_every_kind_of_bytes_is_an_element(value, wanted):
    """P, case 17."""
    assert there_and_back("BYTES", value, "bytes").tolist() == wanted
