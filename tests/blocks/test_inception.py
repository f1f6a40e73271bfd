import numpy as np
import pytest
import torch

from genera.blocks.inception import FidInception, resize_like_tensorflow


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return FidInception().eval()


@torch.no_grad()
def test_sizes_and_parameters_are_those_of_the_published_network(network):
    # 23,834,568 of Inception-v3 without its auxiliary head, and a classifier of 1008 instead of 1000 classes
    assert sum(p.numel() for p in network.parameters()) == 23_834_568 + 8 * 2049
    images = torch.randint(0, 256, (2, 3, 40, 32), dtype=torch.uint8)
    both = network.features(images)
    assert both.shape == (2, 2048)
    assert network(images).shape == (2, 1008)
    torch.testing.assert_close(network.features(images[1:]), both[1:], rtol=1e-4, atol=1e-5)


def test_parameters_have_the_names_of_the_fields_files(network):
    names = set(network.state_dict())
    assert {
        "Conv2d_1a_3x3.conv.weight", "Mixed_5b.branch5x5_2.bn.running_var", "Mixed_6a.branch3x3dbl_3.conv.weight",
        "Mixed_6c.branch7x7dbl_5.conv.weight", "Mixed_7a.branch7x7x3_4.bn.bias",
        "Mixed_7c.branch3x3dbl_3b.conv.weight", "fc.bias",
    } <= names  # fmt: skip
    assert network.Mixed_6b.branch7x7_2.conv.weight.shape == (128, 128, 1, 7)
    assert network.Mixed_7b.branch_pool.conv.weight.shape == (192, 1280, 1, 1)


@pytest.mark.parametrize(("high", "wide"), [(32, 20), (5, 5), (400, 300)])
def test_resizing_equals_naive_loops(high, wide):
    image = np.random.default_rng(0).random((high, wide))
    side, found = 23, np.zeros((23, 23))
    for i in range(side):
        for j in range(side):
            y, x = i * high / side, j * wide / side
            top, left = int(y), int(x)
            bottom, right = min(top + 1, high - 1), min(left + 1, wide - 1)
            upper = image[top, left] * (1 - (x - left)) + image[top, right] * (x - left)
            lower = image[bottom, left] * (1 - (x - left)) + image[bottom, right] * (x - left)
            found[i, j] = upper * (1 - (y - top)) + lower * (y - top)
    resized = resize_like_tensorflow(torch.from_numpy(image)[None, None], side)
    np.testing.assert_allclose(resized[0, 0].numpy(), found, rtol=1e-4, atol=1e-6)
