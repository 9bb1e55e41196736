from website.whole_numbers import whole_numbers


def test_numbers_stay_whole():
    said = "<td>7 465 ± 151</td> <td>.97 [.95, .99]</td> at 95 % of [a, b]"
    assert whole_numbers(said).replace("\u00a0", "_") == (
        "<td>7_465_±_151</td> <td>.97 [.95,_.99]</td> at 95_% of [a, b]"
    )


def test_code_stays():
    said = '<pre><code>x = [1, 2]  # 95 %</code></pre><a title="10 000">'
    assert whole_numbers(said) == said


def test_hyphens_do_not_break():
    said = "256-256 on Hopper-v5, 64 kB"
    assert whole_numbers(said) == (
        '<span class="whole">256-256</span> on <span class="whole">Hopper-v5</span>, 64\u00a0kB'
    )
