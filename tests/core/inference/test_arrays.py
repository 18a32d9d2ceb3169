"""The tensor codec: any array survives the way there and back."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nupic_client._core.inference.arrays import DTYPES, as_array, content_of, from_raw, texts_of
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
    raw = value.tobytes()
    assert np.shares_memory(from_raw("FP32", (2, 3), raw, "str"), np.frombuffer(raw, np.uint8))


def test_texts_of_leaves_str_alone():
    assert texts_of(np.array([b"a", "b"], dtype=object)).tolist() == ["a", "b"]


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


class OnlyDLPack:
    """An array of a library that knows DLPack only."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


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
